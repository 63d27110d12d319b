import { expect } from 'chai';
import { loadNativeProvider } from '../../../src/crypto/aead-native.ts';
import { TlsAlertError } from '../../../src/tls/alert.ts';
import { cipherSuites, type CipherSuite } from '../../../src/tls/cipher-suites.ts';
import { ContentType } from '../../../src/tls/registries.ts';
import {
  createRecordOpener,
  createRecordSealer,
  type RecordOpener,
  type RecordProtectionParameters,
  type RecordSealer,
} from '../../../src/tls/record/protection.ts';

const providers = loadNativeProvider().ok ? (['native', 'node'] as const) : (['node'] as const);
const suites = cipherSuites.filter(({ authentication }) => authentication === 'ecdsa');

for (const provider of providers) {
  for (const cipherSuite of suites) {
    const parameters = parametersOf(cipherSuite, provider);

    describe(`record protection, ${cipherSuite.name}, ${provider} (RFC 5246 §6.2.3.3)`, () => {
      it('writes whole records into the target and reads them back', () => {
        const sealer = createRecordSealer(parameters);
        const opener = createRecordOpener(parameters);
        const target = Buffer.alloc(1000, 0xee);
        const first = sealer.seal(ContentType.application_data, Buffer.from('one'), target, 10);
        const second = sealer.seal(ContentType.alert, Uint8Array.of(1, 0), target, 10 + first);
        expect(first).to.equal(3 + sealer.overhead);
        const record = target.subarray(10, 10 + first);
        expect([...record.subarray(0, 5)]).to.deep.equal([23, 3, 3, 0, first - 5]);
        expect(target.subarray(0, 10).every((byte) => byte === 0xee)).to.equal(true);
        expect(target.subarray(10 + first + second).every((byte) => byte === 0xee)).to.equal(true);
        expect(Buffer.from(opener.open(record)).toString()).to.equal('one');
        const alert = opener.open(target.subarray(10 + first, 10 + first + second));
        expect([...alert]).to.deep.equal([1, 0]);
        expect([sealer.sequenceNumber, opener.sequenceNumber]).to.deep.equal([2n, 2n]);
      });

      it('seals a plaintext that lies in the target already, where its ciphertext goes', () => {
        const sealer = createRecordSealer(parameters);
        const target = Buffer.alloc(4 + sealer.overhead);
        const at = 5 + (cipherSuite.fixedNonceLength === 4 ? 8 : 0);
        target.write('data', at);
        sealer.seal(ContentType.application_data, target.subarray(at, at + 4), target, 0);
        expect(Buffer.from(createRecordOpener(parameters).open(target)).toString()).to.equal(
          'data',
        );
      });

      it('carries 2^14 bytes and refuses one more', () => {
        const sealer = createRecordSealer(parameters);
        const target = Buffer.alloc(20_000);
        const full = Buffer.alloc(2 ** 14, 9);
        const length = sealer.seal(ContentType.application_data, full, target, 0);
        const opened = createRecordOpener(parameters).open(target.subarray(0, length));
        expect(Buffer.from(opened).equals(full)).to.equal(true);
        const over = new Uint8Array(2 ** 14 + 1);
        expect(() => sealer.seal(ContentType.application_data, over, target, 0)).to.throw(
          RangeError,
        );
      });

      it('refuses a target without room, and can go on', () => {
        const sealer = createRecordSealer(parameters);
        const target = Buffer.alloc(4 + sealer.overhead);
        const data = Buffer.from('data');
        expect(() => sealer.seal(ContentType.application_data, data, target, 1)).to.throw(
          RangeError,
        );
        expect(sealer.seal(ContentType.application_data, data, target, 0)).to.equal(target.length);
        expect(sealer.sequenceNumber).to.equal(1n);
      });

      it('answers a plaintext over 2^14 with record_overflow', () => {
        const body = 5 + 2 ** 14 + 1 + createRecordSealer(parameters).overhead - 5;
        const record = Buffer.alloc(body);
        record[0] = 23;
        expectAlert(createRecordOpener(parameters), record, 'record_overflow');
      });

      it('answers a body shorter than nonce and tag with bad_record_mac', () => {
        const { overhead } = createRecordSealer(parameters);
        for (let length = 5; length < overhead; length += 1) {
          const record = Buffer.alloc(length);
          record[0] = 23;
          expectAlert(createRecordOpener(parameters), record, 'bad_record_mac');
        }
      });

      it('answers every changed byte of type and body with bad_record_mac', () => {
        const record = recordOf(createRecordSealer(parameters), 'attack at dawn');
        for (const index of [0, ...Array.from({ length: record.length - 5 }, (_, at) => at + 5)]) {
          const changed = Uint8Array.from(record);
          changed[index]! ^= 1;
          expectAlert(createRecordOpener(parameters), changed, 'bad_record_mac');
          expect(Buffer.from(changed).includes('dawn')).to.equal(false);
        }
      });

      it('does not open a record twice, nor out of order', () => {
        const sealer = createRecordSealer(parameters);
        const [first, second] = [recordOf(sealer, 'first'), recordOf(sealer, 'second')];
        expectAlert(createRecordOpener(parameters), Uint8Array.from(second), 'bad_record_mac');
        const opener = createRecordOpener(parameters);
        opener.open(Uint8Array.from(first));
        expectAlert(opener, Uint8Array.from(first), 'bad_record_mac');
      });

      it('opens nothing after a failure, not even what was good', () => {
        const good = recordOf(createRecordSealer(parameters), 'good');
        const opener = createRecordOpener(parameters);
        const bad = Uint8Array.from(good);
        bad[bad.length - 1]! ^= 1;
        expectAlert(opener, bad, 'bad_record_mac');
        expect(() => opener.open(good)).to.throw('has failed');
        opener.prepare();
        opener.free();
      });

      for (const type of [20, 21, 22, 23] as const) {
        it(`${type === 23 ? 'opens' : 'refuses'} an empty record of type ${String(type)}`, () => {
          const sealer = createRecordSealer(parameters);
          const record = new Uint8Array(sealer.overhead);
          sealer.seal(type, new Uint8Array(), record, 0);
          const opener = createRecordOpener(parameters);
          if (type === 23) expect(opener.open(record)).to.have.length(0);
          else expectAlert(opener, record, 'unexpected_message');
        });
      }

      it('continues where another process stopped', () => {
        const start = createRecordSealer(parameters);
        const opener = createRecordOpener(parameters);
        opener.open(recordOf(start, 'Finished'));
        const { sequenceNumber } = start;
        start.free();
        const continued = createRecordSealer({ ...parameters, sequenceNumber });
        const record = recordOf(continued, 'data');
        expect(Buffer.from(opener.open(record)).toString()).to.equal('data');
      });

      it('counts down to where the key should be retired, and stops only with the numbers', () => {
        const sealer = createRecordSealer({ ...parameters, sequenceNumber: 2n ** 64n - 1n });
        const before = sealer.recordsLeft;
        recordOf(sealer, 'last');
        const gcm = cipherSuite.fixedNonceLength === 4;
        expect([before, sealer.recordsLeft]).to.deep.equal(
          gcm ? [2 ** 24, 2 ** 24 - 1] : [Infinity, Infinity],
        );
        expect(() => recordOf(sealer, 'over')).to.throw('used up');
        expect(() => recordOf(sealer, 'over')).to.throw('has failed');
      });

      it('is of no use once freed', () => {
        const sealer = createRecordSealer(parameters);
        const opener = createRecordOpener(parameters);
        const record = recordOf(sealer, 'data');
        sealer.free();
        opener.free();
        expect(() => recordOf(sealer, 'data')).to.throw('freed');
        expect(() => opener.open(record)).to.throw('freed');
      });

      for (const change of [
        { key: new Uint8Array(cipherSuite.keyLength - 1) },
        { key: new Uint8Array(cipherSuite.keyLength + 1) },
        { fixedNonce: new Uint8Array(cipherSuite.fixedNonceLength + 1) },
        { fixedNonce: new Uint8Array() },
        { sequenceNumber: -1n },
        { sequenceNumber: 2n ** 64n },
      ]) {
        it(`takes no ${Object.keys(change).join()} of wrong size`, () => {
          expect(() => createRecordSealer({ ...parameters, ...change })).to.throw(RangeError);
          expect(() => createRecordOpener({ ...parameters, ...change })).to.throw(RangeError);
        });
      }
    });
  }
}

function parametersOf(
  cipherSuite: CipherSuite,
  provider: 'native' | 'node',
): RecordProtectionParameters {
  return {
    cipherSuite,
    key: new Uint8Array(cipherSuite.keyLength).fill(1),
    fixedNonce: new Uint8Array(cipherSuite.fixedNonceLength).fill(2),
    sequenceNumber: 0n,
    provider,
  };
}

function recordOf(sealer: RecordSealer, text: string): Uint8Array {
  const plaintext = Buffer.from(text);
  const record = new Uint8Array(plaintext.length + sealer.overhead);
  sealer.seal(ContentType.application_data, plaintext, record, 0);
  return record;
}

function expectAlert(opener: RecordOpener, record: Uint8Array, alert: string): void {
  let thrown: unknown;
  try {
    opener.open(record);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).to.be.instanceOf(TlsAlertError).and.include({ alert });
}
