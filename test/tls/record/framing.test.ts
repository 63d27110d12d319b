import { expect } from 'chai';
import { TlsAlertError } from '../../../src/tls/alert.ts';
import {
  bodyOf,
  Deframer,
  encodeRecord,
  fragment,
  fragments,
  maxPlaintextBytes,
  type FramingEpoch,
} from '../../../src/tls/record/framing.ts';

describe('Deframer (RFC 5246 §6.2)', () => {
  const stream = Buffer.concat([
    encodeRecord(22, 0x0301, Buffer.from('hello')),
    encodeRecord(20, 0x0303, Uint8Array.of(1)),
    encodeRecord(23, 0x0303, new Uint8Array()),
    encodeRecord(22, 0x0303, Buffer.alloc(maxPlaintextBytes, 7)),
    encodeRecord(21, 0x0300, Uint8Array.of(1, 0)),
  ]);
  const whole = cut(stream, stream.length);

  it('returns each record with header, type and version', () => {
    expect(whole.map(({ type, version }) => [type, version])).to.deep.equal([
      [22, 0x0301],
      [20, 0x0303],
      [23, 0x0303],
      [22, 0x0303],
      [21, 0x0300],
    ]);
    expect(Buffer.concat(whole.map(({ record }) => record)).equals(stream)).to.equal(true);
    expect(Buffer.from(bodyOf(whole[0]!.record)).toString()).to.equal('hello');
  });

  for (const size of [1, 2, 3, 4, 5, 6, 7, 11, 1000, 16_388, 16_389, 16_390]) {
    it(`cuts the same records from pieces of ${String(size)} bytes`, () => {
      expect(cut(stream, size)).to.deep.equal(whole);
    });
  }

  it('cuts the same records from two pieces, wherever the cut', () => {
    const short = Buffer.concat([
      encodeRecord(22, 0x0303, Buffer.from('one')),
      encodeRecord(23, 0x0303, new Uint8Array()),
      encodeRecord(23, 0x0303, Buffer.from('three')),
    ]);
    const expected = cut(short, short.length);
    for (let at = 0; at <= short.length; at += 1) {
      const deframer = new Deframer('plaintext');
      deframer.lend(short.subarray(0, at));
      const records = drain(deframer);
      deframer.lend(short.subarray(at));
      records.push(...drain(deframer));
      expect(records, `cut at ${String(at)}`).to.deep.equal(expected);
    }
  });

  it('returns views of lent bytes where a record lies in them whole', () => {
    const deframer = new Deframer('plaintext');
    const bytes = encodeRecord(23, 0x0303, Buffer.from('data'));
    deframer.lend(bytes);
    expect(deframer.next()?.record.buffer).to.equal(bytes.buffer);
  });

  it('needs lent bytes no more once it asked for more', () => {
    const deframer = new Deframer('plaintext');
    const bytes = encodeRecord(23, 0x0303, Buffer.from('data'));
    const lent = Uint8Array.from(bytes.subarray(0, 7));
    deframer.lend(lent);
    expect(deframer.next()).to.equal(undefined);
    lent.fill(0xff);
    deframer.lend(bytes.subarray(7));
    expect(deframer.next()?.record).to.deep.equal(bytes);
  });

  it('copies pushed bytes', () => {
    const deframer = new Deframer('plaintext');
    const bytes = encodeRecord(23, 0x0303, Buffer.from('data'));
    const pushed = Uint8Array.from(bytes);
    deframer.push(pushed);
    pushed.fill(0xff);
    expect(deframer.next()?.record).to.deep.equal(bytes);
  });

  it('counts and hands out what was not returned', () => {
    const bytes = encodeRecord(22, 0x0303, Buffer.from('message'));
    for (let at = 0; at < bytes.length; at += 1) {
      const deframer = new Deframer('plaintext');
      deframer.push(bytes);
      deframer.push(bytes.subarray(0, at));
      expect(deframer.bufferedBytes).to.equal(bytes.length + at);
      expect(deframer.next()?.record).to.deep.equal(bytes);
      expect(deframer.next()).to.equal(undefined);
      deframer.push(Uint8Array.of(bytes[at]!));
      expect(deframer.bufferedBytes).to.equal(at + 1);
      expect(deframer.takeBuffered()).to.deep.equal(bytes.subarray(0, at + 1));
      expect(deframer.bufferedBytes).to.equal(0);
      expect(deframer.next()).to.equal(undefined);
    }
  });

  it('hands out several chunks behind a record already returned', () => {
    const bytes = encodeRecord(22, 0x0303, Buffer.from('message'));
    const deframer = new Deframer('plaintext');
    deframer.push(Buffer.concat([bytes, Buffer.from([23])]));
    deframer.push(Uint8Array.of(3, 3));
    deframer.next();
    expect(deframer.takeBuffered()).to.deep.equal(Buffer.from([23, 3, 3]));
  });

  it('stays linear for many tiny pieces pushed at once', () => {
    const deframer = new Deframer('plaintext');
    const bytes = fragment(23, Buffer.alloc(100_000, 1));
    for (const byte of bytes) deframer.push(Uint8Array.of(byte));
    expect(drain(deframer)).to.have.length(7);
  });

  const cases: readonly {
    name: string;
    header: readonly number[];
    epoch: FramingEpoch;
    alert?: string;
    reason?: string;
    later?: true;
  }[] = [
    {
      name: 'unknown type 19',
      header: [19, 3, 3, 0, 1],
      epoch: 'initial',
      alert: 'unexpected_message',
    },
    {
      name: 'unknown type 24',
      header: [24, 3, 3, 0, 1],
      epoch: 'protected',
      alert: 'unexpected_message',
    },
    {
      name: 'major version 2',
      header: [22, 2, 0, 0, 1],
      epoch: 'initial',
      alert: 'protocol_version',
    },
    {
      name: 'major version 4',
      header: [22, 4, 3, 0, 1],
      epoch: 'initial',
      alert: 'protocol_version',
    },
    { name: 'version 0x0300 before ours is fixed', header: [22, 3, 0, 0, 1], epoch: 'initial' },
    { name: 'version 0x03ff before ours is fixed', header: [22, 3, 0xff, 0, 1], epoch: 'initial' },
    {
      name: 'version 0x0301 afterwards',
      header: [22, 3, 1, 0, 1],
      epoch: 'plaintext',
      alert: 'protocol_version',
    },
    {
      name: 'version 0x0304 under protection',
      header: [23, 3, 4, 0, 30],
      epoch: 'protected',
      alert: 'protocol_version',
    },
    { name: 'a body of 2^14', header: [22, 3, 3, 0x40, 0], epoch: 'initial' },
    {
      name: 'a body of 2^14 + 1',
      header: [22, 3, 3, 0x40, 1],
      epoch: 'initial',
      alert: 'record_overflow',
    },
    {
      name: 'a plaintext body of 2^14 + 1',
      header: [22, 3, 3, 0x40, 1],
      epoch: 'plaintext',
      alert: 'record_overflow',
    },
    { name: 'a protected body of 2^14 + 24', header: [23, 3, 3, 0x40, 24], epoch: 'protected' },
    {
      name: 'a protected body of 2^14 + 25',
      header: [23, 3, 3, 0x40, 25],
      epoch: 'protected',
      alert: 'record_overflow',
    },
    {
      name: 'a body of 2^16 - 1',
      header: [23, 3, 3, 0xff, 0xff],
      epoch: 'protected',
      alert: 'record_overflow',
    },
    {
      name: 'an empty handshake record',
      header: [22, 3, 3, 0, 0],
      epoch: 'initial',
      alert: 'unexpected_message',
    },
    {
      name: 'an empty alert record',
      header: [21, 3, 3, 0, 0],
      epoch: 'plaintext',
      alert: 'unexpected_message',
    },
    {
      name: 'an empty ChangeCipherSpec',
      header: [20, 3, 3, 0, 0],
      epoch: 'plaintext',
      alert: 'unexpected_message',
    },
    { name: 'an empty application data record', header: [23, 3, 3, 0, 0], epoch: 'plaintext' },
    {
      name: 'an SSLv2 hello',
      header: [0x80, 0x2e, 1, 3, 3],
      epoch: 'initial',
      alert: 'protocol_version',
      reason: 'sslv2_hello',
    },
    {
      name: 'GET',
      header: ascii('GET /'),
      epoch: 'initial',
      alert: 'unexpected_message',
      reason: 'http_without_tls',
    },
    {
      name: 'the preface of HTTP/2',
      header: ascii('PRI *'),
      epoch: 'initial',
      alert: 'unexpected_message',
      reason: 'http_without_tls',
    },
    {
      name: 'an HTTP response',
      header: ascii('HTTP/'),
      epoch: 'initial',
      alert: 'unexpected_message',
      reason: 'http_without_tls',
    },
    {
      name: 'GET behind a record',
      header: ascii('GET /'),
      epoch: 'initial',
      alert: 'unexpected_message',
      reason: 'unexpected_message',
      later: true,
    },
  ];
  for (const { name, header, epoch, alert, reason, later } of cases) {
    it(`${alert === undefined ? 'accepts' : 'refuses'} ${name} (${epoch}), at its fifth byte`, () => {
      const deframer = new Deframer(epoch);
      if (later) {
        deframer.push(encodeRecord(22, 0x0303, Uint8Array.of(0)));
        deframer.next();
      }
      for (const byte of header.slice(0, 4)) {
        deframer.push(Uint8Array.of(byte));
        expect(deframer.next()).to.equal(undefined);
      }
      deframer.push(Uint8Array.of(header[4]!));
      const atOnce = new Deframer(epoch);
      if (!later) atOnce.push(Uint8Array.from(header));
      for (const one of later ? [deframer] : [deframer, atOnce]) {
        if (alert === undefined) {
          expect(() => one.next()).not.to.throw();
        } else {
          for (const attempt of ['first', 'second']) {
            expect(refusal(one), attempt).to.include({ alert, reason: reason ?? alert });
          }
        }
      }
    });
  }

  it('judges a record by the rules that hold when it is complete', () => {
    const deframer = new Deframer('initial');
    deframer.push(Uint8Array.of(22, 3, 1, 0, 1));
    expect(deframer.next()).to.equal(undefined);
    deframer.epoch = 'plaintext';
    deframer.push(Uint8Array.of(0));
    expect(refusal(deframer)).to.include({ alert: 'protocol_version' });
  });
});

describe('fragment (RFC 5246 §6.2.1)', () => {
  for (const [length, pieces] of [
    [0, []],
    [1, [1]],
    [maxPlaintextBytes, [maxPlaintextBytes]],
    [maxPlaintextBytes + 1, [maxPlaintextBytes, 1]],
    [3 * maxPlaintextBytes, [maxPlaintextBytes, maxPlaintextBytes, maxPlaintextBytes]],
  ] as const) {
    it(`splits ${String(length)} bytes into ${String(pieces.length)} records`, () => {
      const bytes = Buffer.alloc(length, 3);
      expect(fragments(bytes).map((piece) => piece.length)).to.deep.equal(pieces);
      const deframer = new Deframer('plaintext');
      deframer.push(fragment(22, bytes));
      const records = drain(deframer);
      expect(records.map(({ record }) => bodyOf(record).length)).to.deep.equal(pieces);
      expect(Buffer.concat(records.map(({ record }) => bodyOf(record))).equals(bytes)).to.equal(
        true,
      );
    });
  }

  it('refuses to encode more than a record holds', () => {
    expect(() => encodeRecord(22, 0x0303, new Uint8Array(maxPlaintextBytes + 1))).to.throw(
      RangeError,
    );
  });
});

interface Seen {
  readonly type: number;
  readonly version: number;
  readonly record: Uint8Array;
}

function cut(stream: Uint8Array, size: number): readonly Seen[] {
  const deframer = new Deframer('initial');
  const records: Seen[] = [];
  for (let offset = 0; offset < stream.length; offset += size) {
    deframer.push(stream.subarray(offset, offset + size));
    records.push(...drain(deframer));
  }
  expect(deframer.bufferedBytes).to.equal(0);
  return records;
}

function drain(deframer: Deframer): Seen[] {
  const records: Seen[] = [];
  for (let next = deframer.next(); next !== undefined; next = deframer.next()) {
    records.push({ ...next, record: Buffer.from(next.record) });
  }
  return records;
}

function refusal(deframer: Deframer): TlsAlertError {
  try {
    deframer.next();
  } catch (error) {
    if (error instanceof TlsAlertError) return error;
    throw error;
  }
  throw new Error('accepted');
}

function ascii(text: string): readonly number[] {
  return [...Buffer.from(text, 'latin1')];
}
