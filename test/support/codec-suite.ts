import { expect } from 'chai';
import fc from 'fast-check';
import { TlsAlertError, type AlertName } from '../../src/tls/alert.ts';

/** A body that must be read as `value` and, when `encode` is given, written back byte for byte. */
export interface CodecExample<T> {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly value: T;
  /** Offsets at which the body may end early and still be well-formed (optional tails). */
  readonly alsoEndsAt?: readonly number[];
  /** For bodies without inner end marks, where one byte more is just a longer value. */
  readonly mayGrow?: boolean;
  /** Not what we would write (unknown extensions, another order). */
  readonly readOnly?: boolean;
}

export interface MalformedBody {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly alert: AlertName;
}

/** Checks what every codec promises; specific behaviour is tested beside it. */
export function describeCodec<T>(suite: {
  readonly parse: (body: Uint8Array) => unknown;
  readonly encode: (value: T) => Uint8Array;
  readonly examples: readonly CodecExample<T>[];
  readonly malformed: readonly MalformedBody[];
}): void {
  for (const { name, bytes, value, readOnly } of suite.examples) {
    it(`reads ${name}`, () => {
      expect(plain(suite.parse(bytes))).to.deep.equal(plain(value));
    });
    if (readOnly !== true) {
      it(`writes ${name}`, () => {
        expect(Buffer.from(suite.encode(value))).to.deep.equal(Buffer.from(bytes));
      });
    }
  }

  for (const { name, bytes, alert } of suite.malformed) {
    it(`refuses ${name} with ${alert}`, () => {
      expect(alertOf(() => suite.parse(bytes))).to.equal(alert);
    });
  }

  for (const { name, bytes, alsoEndsAt = [], mayGrow } of suite.examples) {
    it(`refuses ${name} cut short anywhere`, () => {
      for (let end = 0; end < bytes.length; end++) {
        if (alsoEndsAt.includes(end)) continue;
        expect(alertOf(() => suite.parse(bytes.subarray(0, end)))).to.equal(
          'decode_error',
          `cut at ${String(end)}`,
        );
      }
    });
    if (mayGrow !== true) {
      it(`refuses a byte behind ${name}`, () => {
        expect(alertOf(() => suite.parse(bytesOf(bytes, [0])))).to.equal('decode_error');
      });
    }
  }

  it('answers any bytes with a value or an alert', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), isValueOrAlert(suite.parse)));
  });

  it('answers any change of a good body with a value or an alert', () => {
    const bodies = suite.examples.map(({ bytes }) => bytes).filter((bytes) => bytes.length > 0);
    if (bodies.length === 0) return;
    const change = fc.tuple(fc.constantFrom(...bodies), fc.nat(), fc.integer({ min: 0, max: 255 }));
    const property = isValueOrAlert(suite.parse);
    fc.assert(
      fc.property(change, ([body, position, byte]) => {
        const changed = Uint8Array.from(body);
        changed[position % changed.length] = byte;
        property(changed);
      }),
      { numRuns: 500 },
    );
  });
}

/** The alert a call raises; fails unless it raises one, and nothing else. */
export function alertOf(call: () => unknown): AlertName {
  try {
    call();
  } catch (error) {
    if (error instanceof TlsAlertError) return error.alert;
    throw error;
  }
  return expect.fail('nothing was thrown');
}

/** Bytes from hexadecimal (blanks ignored), lists and other bytes, joined. */
export function bytesOf(
  ...parts: readonly (string | Uint8Array | readonly number[])[]
): Uint8Array {
  return Uint8Array.from(
    parts.flatMap((part) =>
      typeof part === 'string' ? [...Buffer.from(part.replaceAll(/\s/g, ''), 'hex')] : [...part],
    ),
  );
}

/** A value with its byte arrays in one shape, so that Buffers equal Uint8Arrays. */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'object' && value !== null && !(value instanceof Date)) {
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, plain(entry)]));
  }
  return value;
}

function isValueOrAlert(parse: (body: Uint8Array) => unknown): (body: Uint8Array) => void {
  return (body) => {
    try {
      parse(body);
    } catch (error) {
      expect(error).to.be.instanceOf(TlsAlertError);
    }
  };
}
