import { expect } from 'chai';
import { AlertDescription, type AlertName, TlsAlertError } from '../../src/tls/alert.ts';
import { cipherSuites } from '../../src/tls/cipher-suites.ts';
import { createClientHandshake } from '../../src/tls/client/handshake.ts';
import { HandshakeIntake } from '../../src/tls/handshake-intake.ts';
import { encodeRecord } from '../../src/tls/record/framing.ts';
import { ContentType } from '../../src/tls/registries.ts';
import { createServerHandshake } from '../../src/tls/server/handshake.ts';
import { clientConfig, EngineSide, serverConfig, testIdentity } from '../support/engine-driver.ts';
import { PuppetClient, PuppetServer } from '../support/puppet.ts';

const identity = testIdentity('ecdsa-p256');

interface Sides {
  readonly client: PuppetClient;
  readonly server: EngineSide;
}

function fresh(): Sides {
  const config = serverConfig({ credentials: [identity.credential] });
  const server = new EngineSide(createServerHandshake(config));
  server.start();
  return { client: new PuppetClient(), server };
}

function afterHello(): Sides {
  const { client, server } = fresh();
  client.take(server.receive(client.clientHello()));
  return { client, server };
}

function afterKeyExchange(): Sides {
  const { client, server } = afterHello();
  server.receive(client.clientKeyExchange());
  return { client, server };
}

function afterChangeCipherSpec(): Sides {
  const { client, server } = afterKeyExchange();
  server.receive(client.changeCipherSpec());
  return { client, server };
}

const states = { fresh, afterHello, afterKeyExchange, afterChangeCipherSpec };

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex');
}

function expectAlert({ client, server }: Sides, bytes: Uint8Array, alert: AlertName): void {
  expect(client.take(server.receive(bytes))).to.equal(AlertDescription[alert]);
  expect(server.failure).to.include({ kind: 'peer', alert });
}

describe('records of a handshake (RFC 5246 §6.2.1, appendix E.1)', () => {
  const cases: readonly {
    readonly name: string;
    readonly state: keyof typeof states;
    readonly bytes: string;
    readonly alert: AlertName;
  }[] = [
    {
      name: 'an unknown type',
      state: 'fresh',
      bytes: '18 0301 0001 00',
      alert: 'unexpected_message',
    },
    {
      name: 'a heartbeat once the version is fixed',
      state: 'afterHello',
      bytes: '18 0303 0003 010000',
      alert: 'unexpected_message',
    },
    {
      name: 'a major version that is not 3',
      state: 'fresh',
      bytes: '16 0201 0001 01',
      alert: 'protocol_version',
    },
    {
      name: 'version 3.1 once the version is fixed',
      state: 'afterHello',
      bytes: '16 0301 0001 10',
      alert: 'protocol_version',
    },
    {
      name: 'version 3.4 once the version is fixed',
      state: 'afterHello',
      bytes: '16 0304 0001 10',
      alert: 'protocol_version',
    },
    {
      name: 'a body too long, from its header alone',
      state: 'fresh',
      bytes: '16 0301 4801',
      alert: 'record_overflow',
    },
    {
      name: 'a protected body too long, from its header alone',
      state: 'afterChangeCipherSpec',
      bytes: '16 0303 4801',
      alert: 'record_overflow',
    },
    {
      name: 'an empty handshake record',
      state: 'fresh',
      bytes: '16 0301 0000',
      alert: 'unexpected_message',
    },
    {
      name: 'an empty alert record',
      state: 'afterHello',
      bytes: '15 0303 0000',
      alert: 'unexpected_message',
    },
    {
      name: 'an empty ChangeCipherSpec record',
      state: 'afterKeyExchange',
      bytes: '14 0303 0000',
      alert: 'unexpected_message',
    },
    {
      name: 'application data before any handshake',
      state: 'fresh',
      bytes: '17 0303 0001 00',
      alert: 'unexpected_message',
    },
    {
      name: 'application data in the middle',
      state: 'afterHello',
      bytes: '17 0303 0001 00',
      alert: 'unexpected_message',
    },
    {
      name: 'empty application data',
      state: 'afterHello',
      bytes: '17 0303 0000',
      alert: 'unexpected_message',
    },
    {
      name: 'application data under the new keys before Finished',
      state: 'afterChangeCipherSpec',
      bytes: `17 0303 0019 ${'00'.repeat(25)}`,
      alert: 'unexpected_message',
    },
    { name: 'an SSLv2 hello', state: 'fresh', bytes: '802e0100020015', alert: 'protocol_version' },
    {
      name: 'HTTP',
      state: 'fresh',
      bytes: Buffer.from('GET / HTTP/1.1\r\n\r\n').toString('hex'),
      alert: 'unexpected_message',
    },
  ];
  for (const { name, state, bytes, alert } of cases) {
    it(`answer ${alert} to ${name}`, () => {
      expectAlert(states[state](), hex(bytes), alert);
    });
  }

  for (const version of ['0300', '0301', '0302', '0303', '0304', '03ff']) {
    it(`may be of version ${version} before ours is known`, () => {
      const { client, server } = fresh();
      const hello = client.clientHello();
      hello.set(hex(version), 1);
      server.receive(hello);
      expect(server.failure).to.equal(undefined);
      expect(server.handshake.phase).to.equal('ExpectClientKeyExchange');
    });
  }

  it('of a protected Finished that is not authentic answer bad_record_mac', () => {
    const { client, server } = afterChangeCipherSpec();
    const record = client.finished();
    record[record.length - 1] = (record.at(-1) ?? 0) ^ 1;
    expectAlert({ client, server }, record, 'bad_record_mac');
  });

  for (const length of [1, 8, 23]) {
    it(`too short to be protected (${String(length)} bytes) answer bad_record_mac`, () => {
      const record = encodeRecord(ContentType.handshake, 0x0303, new Uint8Array(length));
      expectAlert(afterChangeCipherSpec(), record, 'bad_record_mac');
    });
  }

  it('in the clear after ChangeCipherSpec answer bad_record_mac', () => {
    const record = encodeRecord(ContentType.handshake, 0x0303, Buffer.alloc(30, 20));
    expectAlert(afterChangeCipherSpec(), record, 'bad_record_mac');
  });

  it('with nothing in them under protection answer unexpected_message', () => {
    const sides = afterChangeCipherSpec();
    expectAlert(
      sides,
      sides.client.record(ContentType.handshake, new Uint8Array(0)),
      'unexpected_message',
    );
  });
});

describe('fragmentation of handshake messages (RFC 5246 §6.2.1, §7.4)', () => {
  it('goes down to one byte a record', () => {
    const { client, server } = fresh();
    const hello = client.clientHello().subarray(5);
    for (const byte of hello) {
      server.receive(encodeRecord(ContentType.handshake, 0x0301, Uint8Array.of(byte)));
    }
    expect(server.failure).to.equal(undefined);
    expect(server.handshake.phase).to.equal('ExpectClientKeyExchange');
  });

  it('may be interrupted by a warning', () => {
    const { client, server } = fresh();
    const hello = client.clientHello().subarray(5);
    server.receive(encodeRecord(ContentType.handshake, 0x0301, hello.subarray(0, 3)));
    server.receive(hex('15 0301 0002 01 70'));
    server.receive(encodeRecord(ContentType.handshake, 0x0301, hello.subarray(3)));
    expect(server.handshake.phase).to.equal('ExpectClientKeyExchange');
  });

  it('may not be interrupted by ChangeCipherSpec', () => {
    const sides = afterKeyExchange();
    sides.server.receive(sides.client.record(ContentType.handshake, hex('14 00')));
    expectAlert(sides, sides.client.changeCipherSpec(), 'unexpected_message');
  });

  it('announces no more than a message of its type may have', () => {
    expectAlert(fresh(), hex('16 0301 0004 01 004001'), 'illegal_parameter');
  });

  it('announces no more than a certificate list may have', () => {
    const config = serverConfig({ credentials: [identity.credential], clientAuth: 'request' });
    const server = new EngineSide(createServerHandshake(config));
    const client = new PuppetClient();
    server.start();
    client.take(server.receive(client.clientHello()));
    expectAlert({ client, server }, hex('16 0303 0004 0b 010001'), 'illegal_parameter');
  });
});

describe('ChangeCipherSpec (RFC 5246 §7.1)', () => {
  for (const [name, body, alert] of [
    ['two bytes', '0101', 'decode_error'],
    ['another value', '00', 'illegal_parameter'],
    ['another value', '02', 'illegal_parameter'],
  ] as const) {
    it(`answers ${alert} to ${name} (${body})`, () => {
      const sides = afterKeyExchange();
      expectAlert(sides, sides.client.record(ContentType.change_cipher_spec, hex(body)), alert);
    });
  }

  it('is refused before there are keys (CVE-2014-0224)', () => {
    expectAlert(afterHello(), hex('14 0303 0001 01'), 'unexpected_message');
  });

  it('is refused a second time, in the clear or protected', () => {
    expectAlert(afterChangeCipherSpec(), hex('14 0303 0001 01'), 'unexpected_message');
    const sides = afterChangeCipherSpec();
    expectAlert(
      sides,
      sides.client.record(ContentType.change_cipher_spec, hex('01')),
      'unexpected_message',
    );
  });

  it('is refused a second time before any state is asked', () => {
    const [cipherSuite] = cipherSuites;
    const intake = new HandshakeIntake();
    intake.push(hex('14 0303 0001 01'));
    expect(intake.next()).to.deep.equal({ type: 'changeCipherSpec' });
    intake.protect({
      cipherSuite: cipherSuite!,
      key: new Uint8Array(cipherSuite!.keyLength),
      fixedNonce: new Uint8Array(cipherSuite!.fixedNonceLength),
      sequenceNumber: 0n,
    });
    intake.push(hex('14 0303 0001 01'));
    expect(() => intake.next())
      .to.throw(TlsAlertError)
      .with.property('alert', 'unexpected_message');
  });
});

describe('alerts of the peer (RFC 5246 §7.2)', () => {
  const alertRecord = (body: string): Buffer =>
    Buffer.from(encodeRecord(ContentType.alert, 0x0303, hex(body)));

  for (const [name, body, alert] of [
    ['one byte', '02', 'decode_error'],
    ['three bytes', '022800', 'decode_error'],
    ['two alerts in a record', '01700170', 'decode_error'],
    ['level 0', '0028', 'illegal_parameter'],
    ['level 3', '0328', 'illegal_parameter'],
  ] as const) {
    it(`answer ${alert} to ${name}`, () => {
      expectAlert(afterHello(), alertRecord(body), alert);
    });
  }

  for (const [body, kind, alert] of [
    ['0228', 'peer_alert', 'handshake_failure'],
    ['0230', 'peer_alert', 'unknown_ca'],
    ['02c8', 'peer_alert', 'alert_200'],
    ['0100', 'peer_closed', 'close_notify'],
    ['0200', 'peer_closed', 'close_notify'],
    ['015a', 'peer_closed', 'user_canceled'],
  ] as const) {
    it(`end the handshake without an answer: ${alert} (${body})`, () => {
      const { client, server } = afterHello();
      expect(server.receive(alertRecord(body))).to.have.length(0);
      expect(server.failure).to.include({ kind, alert, reason: alert });
      expect(client.take(server.receive(client.record(22, hex('10'))))).to.equal(undefined);
    });
  }

  it('are read under protection too', () => {
    const { client, server } = afterChangeCipherSpec();
    expect(server.receive(client.record(ContentType.alert, hex('0233')))).to.have.length(0);
    expect(server.failure).to.include({ kind: 'peer_alert', alert: 'decrypt_error' });
  });

  it('that warn are passed over, four in a row', () => {
    const { client, server } = afterHello();
    for (let count = 0; count < 4; count += 1) server.receive(alertRecord('0170'));
    server.receive(client.clientKeyExchange());
    for (let count = 0; count < 4; count += 1) server.receive(alertRecord('0164'));
    expect(server.failure).to.equal(undefined);
    expectAlert({ client, server }, alertRecord('0164'), 'unexpected_message');
  });
});

describe('HelloRequest at the client (RFC 5246 §7.4.1.1)', () => {
  function client(): { engine: EngineSide; server: PuppetServer } {
    const engine = new EngineSide(createClientHandshake(clientConfig()));
    const server = new PuppetServer(identity);
    server.take(engine.start());
    return { engine, server };
  }
  const helloRequest = hex('16 0303 0004 00 000000');

  it('is passed over and is no part of the transcript', () => {
    const { engine, server } = client();
    engine.receive(helloRequest);
    engine.receive(server.serverHello());
    engine.receive(server.certificate());
    engine.receive(helloRequest);
    engine.receive(server.serverKeyExchange());
    server.take(engine.receive(server.serverHelloDone()));
    engine.receive(server.changeCipherSpec());
    engine.receive(server.finished());
    expect(engine.failure).to.equal(undefined);
    expect(engine.result?.resumed).to.equal(false);
  });

  it('is passed over four times', () => {
    const { engine } = client();
    for (let count = 0; count < 4; count += 1) engine.receive(helloRequest);
    expect(engine.failure).to.equal(undefined);
    engine.receive(helloRequest);
    expect(engine.failure?.alert).to.equal('unexpected_message');
  });

  it('has no body', () => {
    const { engine } = client();
    engine.receive(hex('16 0303 0005 00 000001 00'));
    expect(engine.failure?.alert).to.equal('decode_error');
  });

  it('does not come between ChangeCipherSpec and Finished', () => {
    const { engine, server } = client();
    engine.receive(server.serverHello());
    engine.receive(server.certificate());
    engine.receive(server.serverKeyExchange());
    server.take(engine.receive(server.serverHelloDone()));
    engine.receive(server.changeCipherSpec());
    engine.receive(server.record(22, hex('00 000000')));
    expect(engine.failure?.alert).to.equal('unexpected_message');
  });
});

describe('size of a whole handshake', () => {
  it('is bounded', () => {
    const { client, server } = afterHello();
    const warning = hex('15 0303 0002 01 70');
    const byte = (value: number): Uint8Array =>
      encodeRecord(ContentType.handshake, 0x0303, Uint8Array.of(value));
    // A message of 16 KiB, a byte a record, with warnings between: 13 bytes of input for each.
    for (const value of hex('10 004000')) server.receive(byte(value));
    let records = 0;
    while (server.failure === undefined && records < 2 ** 15) {
      client.take(server.receive(Buffer.concat([warning, byte(0)])));
      records += 1;
    }
    expect(server.failure).to.include({
      alert: 'illegal_parameter',
      reason: 'handshake_too_large',
    });
    expect(records * 13)
      .to.be.greaterThan(120 * 1024)
      .and.lessThan(129 * 1024);
  });
});
