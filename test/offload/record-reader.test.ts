import { expect } from 'chai';
import { RecordReader } from '../../src/offload/record-reader.ts';
import { cipherSuites } from '../../src/tls/cipher-suites.ts';
import {
  createRecordOpener,
  createRecordSealer,
  type RecordSealer,
} from '../../src/tls/record/protection.ts';
import { ContentType } from '../../src/tls/registries.ts';

const suite = cipherSuites[0]!;
const keys = {
  cipherSuite: suite,
  key: new Uint8Array(suite.keyLength).fill(1),
  fixedNonce: new Uint8Array(suite.fixedNonceLength).fill(2),
  sequenceNumber: 1n,
};

interface Setup {
  role?: 'client' | 'server';
  renegotiationIsFatal?: boolean;
  maxRecords?: number;
}

function setUp({ role = 'client', renegotiationIsFatal = false, maxRecords = 1e6 }: Setup = {}) {
  const sealer = createRecordSealer(keys);
  const reader = new RecordReader({
    opener: createRecordOpener(keys),
    role,
    renegotiationIsFatal,
    maxRecords,
  });
  return {
    sealer,
    reader,
    record: (type: ContentType, body: Uint8Array) => seal(sealer, type, body),
  };
}

function seal(sealer: RecordSealer, type: ContentType, body: Uint8Array): Uint8Array {
  const record = Buffer.alloc(body.length + sealer.overhead);
  return record.subarray(0, sealer.seal(type, body, record, 0));
}

const closeNotify = Uint8Array.of(1, 0);
const helloRequest = Uint8Array.of(0, 0, 0, 0);
const clientHello = Uint8Array.of(1, 0, 0, 2, 3, 3);

describe('RecordReader (RFC 5246 §6.2, §7.2)', () => {
  it('gives the data of several records in one piece of the stream', () => {
    const { reader, record } = setUp();
    const bytes = Buffer.concat([
      record(ContentType.application_data, Buffer.from('one')),
      record(ContentType.application_data, Buffer.from('two')),
    ]);
    const { plaintexts, end } = reader.receive(bytes);
    expect(Buffer.concat(plaintexts).toString()).to.equal('onetwo');
    expect(end).to.equal(undefined);
  });

  it('gives the same when bytes come one at a time', () => {
    const { reader, record } = setUp();
    const bytes = Buffer.concat([
      record(ContentType.application_data, Buffer.from('hello')),
      record(ContentType.alert, closeNotify),
    ]);
    const received: Uint8Array[] = [];
    let ended: string | undefined;
    for (const byte of bytes) {
      const { plaintexts, end } = reader.receive(Uint8Array.of(byte));
      received.push(...plaintexts.map((plaintext) => Buffer.from(plaintext)));
      ended ??= end?.type;
    }
    expect(Buffer.concat(received).toString()).to.equal('hello');
    expect(ended).to.equal('close_notify');
  });

  it('ignores what follows close_notify', () => {
    const { reader, record } = setUp();
    expect(reader.receive(record(ContentType.alert, closeNotify)).end?.type).to.equal(
      'close_notify',
    );
    expect(reader.ended).to.equal(true);
    const late = reader.receive(record(ContentType.application_data, Buffer.from('late')));
    expect(late.plaintexts).to.deep.equal([]);
    expect(late.end).to.equal(undefined);
  });

  it('gives data that came before an end in the same piece', () => {
    const { reader, record } = setUp();
    const { plaintexts, end } = reader.receive(
      Buffer.concat([
        record(ContentType.application_data, Buffer.from('data')),
        record(ContentType.alert, Uint8Array.of(2, 48)),
      ]),
    );
    expect(Buffer.concat(plaintexts).toString()).to.equal('data');
    expect(end).to.deep.equal({ type: 'alert', alert: 'unknown_ca' });
  });

  it('names a fatal alert it does not know by its number', () => {
    const { reader, record } = setUp();
    const { end } = reader.receive(record(ContentType.alert, Uint8Array.of(2, 222)));
    expect(end).to.deep.equal({ type: 'alert', alert: 'alert_222' });
  });

  const refused: {
    name: string;
    setup?: Setup;
    type: ContentType;
    body: Uint8Array;
    times?: number;
    alert: string;
  }[] = [
    {
      name: 'an alert of one byte',
      type: ContentType.alert,
      body: Uint8Array.of(1),
      alert: 'decode_error',
    },
    {
      name: 'an alert of three bytes',
      type: ContentType.alert,
      body: Uint8Array.of(1, 0, 0),
      alert: 'decode_error',
    },
    {
      name: 'an alert of no known level',
      type: ContentType.alert,
      body: Uint8Array.of(3, 48),
      alert: 'illegal_parameter',
    },
    {
      name: 'a fifth warning in a row',
      type: ContentType.alert,
      body: Uint8Array.of(1, 90),
      times: 5,
      alert: 'unexpected_message',
    },
    {
      name: 'a 33rd empty record in a row',
      type: ContentType.application_data,
      body: new Uint8Array(),
      times: 33,
      alert: 'unexpected_message',
    },
    {
      name: 'ChangeCipherSpec',
      type: ContentType.change_cipher_spec,
      body: Uint8Array.of(1),
      alert: 'unexpected_message',
    },
    {
      name: 'a handshake message that starts nothing',
      type: ContentType.handshake,
      body: Uint8Array.of(20, 0, 0, 0),
      alert: 'unexpected_message',
    },
    {
      name: 'a HelloRequest with a body',
      type: ContentType.handshake,
      body: Uint8Array.of(0, 0, 0, 1, 0),
      alert: 'unexpected_message',
    },
    {
      name: 'a second HelloRequest',
      type: ContentType.handshake,
      body: helloRequest,
      times: 2,
      alert: 'no_renegotiation',
    },
    {
      name: 'a second ClientHello to a server',
      setup: { role: 'server' },
      type: ContentType.handshake,
      body: clientHello,
      times: 2,
      alert: 'no_renegotiation',
    },
    {
      name: 'the first HelloRequest under HTTP/2 (RFC 9113 §9.2.1)',
      setup: { renegotiationIsFatal: true },
      type: ContentType.handshake,
      body: helloRequest,
      alert: 'no_renegotiation',
    },
    {
      name: 'a ClientHello to a client',
      type: ContentType.handshake,
      body: clientHello,
      alert: 'unexpected_message',
    },
    {
      name: 'a HelloRequest to a server',
      setup: { role: 'server' },
      type: ContentType.handshake,
      body: helloRequest,
      alert: 'unexpected_message',
    },
    {
      name: 'more records than one key is good for',
      setup: { maxRecords: 3 },
      type: ContentType.application_data,
      body: Uint8Array.of(7),
      times: 4,
      alert: 'internal_error',
    },
  ];
  for (const { name, setup, type, body, times = 1, alert } of refused) {
    it(`refuses ${name} with ${alert}`, () => {
      const { reader, record } = setUp(setup);
      for (let count = 1; count < times; count += 1) {
        expect(reader.receive(record(type, body)).end, `number ${String(count)}`).to.equal(
          undefined,
        );
      }
      const { end } = reader.receive(record(type, body));
      expect(end?.type).to.equal('failure');
      expect(end?.type === 'failure' && end.error.alert).to.equal(alert);
      expect(reader.ended).to.equal(true);
    });
  }

  for (const [role, message] of [
    ['client', helloRequest],
    ['server', clientHello],
  ] as const) {
    it(`declines a renegotiation once as ${role} (RFC 5746 §4.5)`, () => {
      const { reader, record } = setUp({ role });
      const { warning, end } = reader.receive(record(ContentType.handshake, message));
      expect(warning).to.equal('no_renegotiation');
      expect(end).to.equal(undefined);
      const { plaintexts } = reader.receive(
        record(ContentType.application_data, Buffer.from('on')),
      );
      expect(Buffer.concat(plaintexts).toString()).to.equal('on');
    });
  }

  it('starts counting anew when data comes between empty records and warnings', () => {
    const { reader, record } = setUp();
    for (let round = 0; round < 3; round += 1) {
      for (let count = 0; count < 32; count += 1) {
        reader.receive(record(ContentType.application_data, new Uint8Array()));
      }
      for (let count = 0; count < 4; count += 1) {
        reader.receive(record(ContentType.alert, Uint8Array.of(1, 90)));
      }
      reader.receive(record(ContentType.application_data, Uint8Array.of(1)));
    }
    expect(reader.ended).to.equal(false);
  });

  it('refuses a record that was changed on the way with bad_record_mac', () => {
    const { reader, record } = setUp();
    const bytes = record(ContentType.application_data, Buffer.from('data'));
    bytes[bytes.length - 1]! ^= 1;
    const { plaintexts, end } = reader.receive(bytes);
    expect(plaintexts).to.deep.equal([]);
    expect(end?.type === 'failure' && end.error.alert).to.equal('bad_record_mac');
  });

  it('refuses a record of another version with protocol_version', () => {
    const { reader, record } = setUp();
    const bytes = record(ContentType.application_data, Buffer.from('data'));
    bytes[2] = 4;
    const { end } = reader.receive(bytes);
    expect(end?.type === 'failure' && end.error.alert).to.equal('protocol_version');
  });

  it('refuses a record that is too long by its header alone', () => {
    const { reader } = setUp();
    const { end } = reader.receive(Uint8Array.of(23, 3, 3, 0x48, 0x01));
    expect(end?.type === 'failure' && end.error.alert).to.equal('record_overflow');
  });
});
