import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { type DetailedPeerCertificate, TLSSocket } from 'node:tls';
import { Socket } from 'node:net';
import { expect } from 'chai';
import { createOffload, type Offload } from '../../src/offload/index.ts';
import { createTestCa } from '../support/test-ca.ts';
import { type SecurePair, securePair } from './support/connections.ts';
import { FakeSidecar } from './support/fake-sidecar.ts';

/** What libraries that are handed a socket have been seen to touch. */
const touched = [
  'setKeepAlive',
  'setNoDelay',
  'setTimeout',
  'ref',
  'unref',
  'destroySoon',
  'resetAndDestroy',
  'address',
  'connecting',
  'pending',
  'readyState',
  'remoteAddress',
  'remotePort',
  'remoteFamily',
  'localAddress',
  'localPort',
  'localFamily',
  'bytesRead',
  'bytesWritten',
  'encrypted',
  'authorized',
  'getPeerCertificate',
  'getPeerX509Certificate',
  'getCertificate',
  'getX509Certificate',
  'getCipher',
  'getProtocol',
  'getEphemeralKeyInfo',
  'getFinished',
  'getPeerFinished',
  'getSession',
  'getTLSTicket',
  'isSessionReused',
  'exportKeyingMaterial',
  'renegotiate',
  'cork',
  'uncork',
  'pause',
  'resume',
  'pipe',
  'end',
  'destroy',
  'destroyed',
  'readable',
  'writable',
  'writableLength',
  'writableHighWaterMark',
] as const;

describe('OffloadSocket as a tls.TLSSocket', () => {
  let sidecar: FakeSidecar;
  let offload: Offload;
  let pair: SecurePair;

  before(async () => {
    const ca = createTestCa();
    const issued = ca.issue({ dnsNames: ['localhost'], intermediate: true });
    sidecar = await FakeSidecar.start();
    sidecar.behaviour.peerCertificates = issued.chain.map((der) => Buffer.from(der));
    offload = createOffload({ address: sidecar.address });
    const keyingMaterial = [
      { label: 'EXPORTER-test', length: 20 },
      { label: 'EXPORTER-test', length: 20, context: new Uint8Array() },
    ];
    pair = await securePair(offload, {
      client: { ALPNProtocols: ['proto/2', 'proto/1'], keyingMaterial },
      server: { ALPNProtocols: ['proto/1'], keyingMaterial },
    });
  });

  after(async () => {
    await pair.close();
    await offload.close();
    await sidecar.close();
  });

  it('is a Duplex', () => {
    expect(pair.client).to.be.instanceOf(Duplex);
    expect(pair.client).not.to.be.instanceOf(Socket);
  });

  for (const member of touched) {
    it(`has ${member} of the type it has there`, () => {
      const theirs = new TLSSocket(new Socket());
      theirs.on('error', () => undefined);
      const expected = typeof Reflect.get(theirs, member);
      theirs.destroy();
      if (expected !== 'undefined') expect(Reflect.get(pair.client, member)).to.be.a(expected);
      else expect(Reflect.has(pair.client, member)).to.equal(true);
    });
  }

  for (const member of ['server', 'parser', '_httpMessage', '_paused', 'alpnProtocol'] as const) {
    it(`lets others write ${member}`, () => {
      const socket = pair.client;
      const before: unknown = Reflect.get(socket, member);
      const value = { mark: member };
      expect(Reflect.set(socket, member, value)).to.equal(true);
      expect(Reflect.get(socket, member)).to.equal(value);
      Reflect.set(socket, member, before);
    });
  }

  it('tells addresses and counts', () => {
    const { client, server } = pair;
    expect(client.remoteAddress).to.equal('127.0.0.1');
    expect(client.remotePort).to.equal(server.localPort);
    expect(client.localPort).to.equal(server.remotePort);
    expect(client.remoteFamily).to.equal('IPv4');
    expect(client.address()).to.deep.equal({
      address: '127.0.0.1',
      family: 'IPv4',
      port: server.remotePort,
    });
    expect(client.readyState).to.equal('open');
    expect(client.pending).to.equal(false);
    expect(client.connecting).to.equal(false);
    expect(client.secureConnecting).to.equal(false);
  });

  it('tells what was negotiated', () => {
    const { client, server } = pair;
    expect(client.encrypted).to.equal(true);
    expect(client.authorized).to.equal(true);
    expect(client.authorizationError).to.equal(null);
    expect(client.getProtocol()).to.equal('TLSv1.2');
    expect(client.alpnProtocol).to.equal('proto/1');
    expect(server.alpnProtocol).to.equal('proto/1');
    expect(client.servername).to.equal('localhost');
    expect(server.servername).to.equal('localhost');
    expect(client.getEphemeralKeyInfo()).to.deep.equal({
      type: 'ECDH',
      name: 'prime256v1',
      size: 256,
    });
    expect(server.getEphemeralKeyInfo()).to.equal(null);
    expect(client.isSessionReused()).to.equal(false);
    expect(client.getFinished()?.equals(server.getPeerFinished() ?? Buffer.alloc(0))).to.equal(
      true,
    );
    expect(client.getFinished()).to.have.length(12);
    const sessions: unknown[] = [client.getSession(), client.getTLSTicket()];
    expect(sessions).to.deep.equal([undefined, undefined]);
  });

  it('tells who the peer is', () => {
    const { client, server } = pair;
    expect(client.peerIdentity).to.equal('spiffe://test/server');
    expect(client.localIdentity).to.equal('spiffe://test/client');
    expect(server.peerIdentity).to.equal('spiffe://test/client');
    expect(client.handshakeId).to.match(/^fake-\d+$/);
  });

  it('shows certificates as node:tls does', () => {
    const { client } = pair;
    const certificate = client.getPeerCertificate(true);
    expect(certificate).to.have.property('subjectaltname', 'DNS:localhost');
    expect(certificate)
      .to.have.property('fingerprint256')
      .that.matches(/^([0-9A-F]{2}:){31}/);
    expect(certificate).to.have.property('raw').that.is.instanceOf(Buffer);
    const { issuerCertificate } = certificate as DetailedPeerCertificate;
    expect(issuerCertificate.issuerCertificate).to.equal(issuerCertificate);
    expect(client.getPeerCertificate()).not.to.have.property('issuerCertificate');
    expect(client.getPeerX509Certificate()?.subjectAltName).to.equal('DNS:localhost');
    expect(client.getX509Certificate()).not.to.equal(undefined);
    expect(client.peerCertificateChain).to.have.length(2);
  });

  it('exports keying material that was declared (RFC 5705 §4)', () => {
    const { client, server } = pair;
    const material = client.exportKeyingMaterial(20, 'EXPORTER-test');
    expect(material).to.have.length(20);
    expect(material.equals(server.exportKeyingMaterial(20, 'EXPORTER-test'))).to.equal(true);
    expect(client.exportKeyingMaterial(20, 'EXPORTER-test', Buffer.alloc(0))).to.have.length(20);
    material.fill(0);
    expect(client.exportKeyingMaterial(20, 'EXPORTER-test').equals(material)).to.equal(false);
    for (const undeclared of [
      () => client.exportKeyingMaterial(21, 'EXPORTER-test'),
      () => client.exportKeyingMaterial(20, 'EXPORTER-other'),
      () => client.exportKeyingMaterial(20, 'EXPORTER-test', Buffer.alloc(1)),
    ]) {
      expect(undeclared).to.throw().with.property('code', 'ERR_OFFLOAD_NOT_DECLARED');
    }
  });

  it('refuses to renegotiate', () => {
    expect(() => pair.client.renegotiate())
      .to.throw()
      .with.property('code', 'ERR_OFFLOAD_RENEGOTIATION');
  });

  it('takes settings of the connection below', () => {
    const { client } = pair;
    expect(client.setNoDelay(true).setKeepAlive(true, 1000).ref().setTimeout(0)).to.equal(client);
  });

  it('closes once all is written when told to destroy soon', async () => {
    const { client, server, close } = await securePair(offload);
    server.resume();
    client.write('x'.repeat(100_000));
    client.destroySoon();
    await Promise.all([once(client, 'close'), once(server, 'close')]);
    expect(server.bytesRead).to.equal(100_000);
    await close();
  });

  it('knows nothing before the handshake', async () => {
    const socket = offload.connect({ port: 9, host: '127.0.0.1' });
    socket.on('error', () => undefined);
    expect(socket.getPeerCertificate()).to.deep.equal({});
    expect(socket.getCipher()).to.deep.equal({});
    expect(socket.getProtocol()).to.equal('unknown');
    expect(socket.alpnProtocol).to.equal(null);
    expect(socket.authorized).to.equal(false);
    expect(socket.peerIdentity).to.equal(undefined);
    expect(() => socket.exportKeyingMaterial(1, 'x')).to.throw();
    expect(socket.readyState).to.equal('opening');
    socket.destroy();
    expect(socket.getProtocol()).to.equal(null);
    await once(socket, 'close');
  });
});
