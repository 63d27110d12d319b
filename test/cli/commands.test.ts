import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { createTestCa, writeIdentity } from '../support/test-ca.ts';
import { BuiltCommand, needsBuild, sidekey } from './built-command.ts';

const serverId = 'spiffe://example.org/service/server';
const clientId = 'spiffe://example.org/service/client';

describe('commands of the built package', function () {
  this.timeout(60_000);

  let directory: string;
  let sidecarAddress: string;
  let sidecar: BuiltCommand;
  let www: BuiltCommand;
  let wwwAddress: string;

  before(async function () {
    needsBuild(this);
    directory = await mkdtemp(join(tmpdir(), 'sidekey-test-'));
    const ca = createTestCa();
    writeIdentity(directory, 'server', ca.issue({ uris: [serverId], dnsNames: ['localhost'] }));
    writeIdentity(directory, 'client', ca.issue({ uris: [clientId] }));
    await writeFile(join(directory, 'roots.pem'), ca.pem);
    sidecarAddress = `unix:${join(directory, 'sidecar.sock')}`;
    await writeFile(join(directory, 'sidecar.yaml'), configuration);
    sidecar = new BuiltCommand(['sidecar', '--config', join(directory, 'sidecar.yaml')]);
    await sidecar.says(/sidecar started/);
    www = serve('--www', '--identity', 'server', '--alpn', 'http/1.1', '--client-auth', 'request');
    wwwAddress = await listening(www);
  });

  after(async () => {
    await Promise.all([www.stop('SIGKILL'), sidecar.stop('SIGKILL')]);
    await rm(directory, { recursive: true, force: true });
  });

  function serve(...options: readonly string[]): BuiltCommand {
    return new BuiltCommand([
      ...['serve', '--sidecar', sidecarAddress, '--listen', '127.0.0.1:0'],
      ...options,
    ]);
  }

  async function listening(server: BuiltCommand): Promise<string> {
    const [, address = ''] = await server.says(/^listening (127\.0\.0\.1:\d+)\n/);
    return address;
  }

  function connect(address: string, input: string, ...options: readonly string[]) {
    return sidekey(
      [
        ...['connect', address, '--sidecar', sidecarAddress],
        ...['--identity', 'client', '--servername', 'localhost', ...options],
      ],
      input,
    );
  }

  it('serve --www and connect --show agree on what was negotiated and with whom', async () => {
    const request = 'GET /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n';
    const { code, out, err } = await connect(wwwAddress, request, '--show', '--alpn', 'http/1.1');
    expect(code, err).to.equal(0);
    const client = JSON.parse(err) as Record<string, unknown>;
    const [head = '', body = ''] = out.split('\r\n\r\n');
    expect(head).to.match(/^HTTP\/1\.1 200 OK/);
    const server = JSON.parse(body) as Record<string, unknown>;
    for (const name of ['version', 'suite', 'group', 'signatureScheme', 'alpn', 'serverName']) {
      expect(client, name).to.have.property(name, server[name]).that.is.a('string');
    }
    expect(client).to.include({ peerIdentity: serverId, localIdentity: clientId, resumed: false });
    expect(server).to.include({ peerIdentity: clientId, localIdentity: serverId, resumed: false });
    expect(client['chain']).to.have.length(1);
    expect(server['chain']).to.have.length(1);
  });

  it('connect --times resumes the session of the connection before', async () => {
    const { code, err } = await connect(wwwAddress, 'GET /\n\n', '--times', '3', '--show');
    expect(code, err).to.equal(0);
    const reports = err
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { resumed: boolean });
    expect(reports.map(({ resumed }) => resumed)).to.deep.equal([false, true, true]);
  });

  it('connect --anonymous shows no certificate', async () => {
    const { code, out } = await sidekey(
      [
        ...['connect', wwwAddress, '--sidecar', sidecarAddress],
        ...['--servername', 'localhost', '--anonymous'],
      ],
      'GET /status.json HTTP/1.0\r\n\r\n',
    );
    expect(code).to.equal(0);
    const report = JSON.parse(out.split('\r\n\r\n')[1] ?? '') as object;
    expect(report).not.to.have.property('peerIdentity');
    expect(report).to.have.property('chain').that.is.empty;
  });

  it('connect --target-identity takes the right peer and refuses another', async () => {
    const right = await connect(wwwAddress, 'GET /\n\n', '--target-identity', serverId);
    expect(right.code, right.err).to.equal(0);
    const wrong = await connect(wwwAddress, 'GET /\n\n', '--target-identity', clientId);
    expect(wrong.code).to.equal(1);
    expect(wrong.err).to.match(/^sidekey: .*alert access_denied.*handshake /);
  });

  it('connect fails with one line of code, alert and handshake for a wrong name', async () => {
    const { code, out, err } = await sidekey([
      ...['connect', wwwAddress, '--sidecar', sidecarAddress],
      ...['--identity', 'client', '--servername', 'other.example'],
    ]);
    expect(code).to.equal(1);
    expect(out).to.equal('');
    expect(err).to.match(
      /^sidekey: .*code ERR_TLS_CERT_ALTNAME_INVALID, alert bad_certificate.*handshake .*\n$/,
    );
  });

  it('connect says that the sidecar is away', async () => {
    const { code, err } = await sidekey([
      ...['connect', wwwAddress, '--sidecar', `unix:${join(directory, 'none.sock')}`],
    ]);
    expect(code).to.equal(1);
    expect(err).to.contain('ERR_OFFLOAD_UNAVAILABLE');
  });

  it('serve --echo returns everything, and ends with close_notify and 0 on SIGTERM', async () => {
    const server = serve('--echo', '--identity', 'server');
    const address = await listening(server);
    const text = 'all the same\n'.repeat(20_000);
    const echoed = await connect(address, text, '--close-after', '300ms');
    expect(echoed.code, echoed.err).to.equal(0);
    expect(echoed.out === text).to.equal(true);

    const client = new BuiltCommand([
      ...['connect', address, '--sidecar', sidecarAddress, '--identity', 'client'],
      ...['--servername', 'localhost'],
    ]);
    client.child.stdin.write('ping');
    await client.says(/ping/);
    expect((await server.stop()).code).to.equal(0);
    const { code, err } = await client.finished;
    expect(code, err).to.equal(0);
  });

  it('serve reports a failed handshake in one line and serves on', async () => {
    const server = serve('--www', '--identity', 'server', '--client-auth', 'require');
    const address = await listening(server);
    const refused = await sidekey([
      ...['connect', address, '--sidecar', sidecarAddress],
      ...['--servername', 'localhost', '--anonymous'],
    ]);
    expect(refused.code).to.equal(1);
    const served = await connect(address, 'GET / HTTP/1.0\r\n\r\n');
    expect(served.out).to.contain('200 OK');
    const { code, err } = await server.stop();
    expect(code).to.equal(0);
    expect(err).to.match(/^handshake with 127\.0\.0\.1:\d+ failed: .*\n$/);
  });

  it('serve fails for an address that is taken', async () => {
    const { code, err } = await sidekey([
      ...['serve', '--sidecar', sidecarAddress, '--listen', wwwAddress],
    ]);
    expect(code).to.equal(1);
    expect(err).to.contain('EADDRINUSE');
  });

  it('identity list and show tell what the sidecar holds', async () => {
    const list = await sidekey(['identity', 'list', '--sidecar', sidecarAddress]);
    expect(list.out).to.match(/^NAME .*\nserver .*\nclient /);
    const json = await sidekey([
      ...['identity', 'list', '--sidecar', sidecarAddress, '--output', 'json'],
    ]);
    const identities = JSON.parse(json.out) as { name: string; ready: boolean; spiffeId: string }[];
    expect(identities.map(({ name, ready, spiffeId }) => [name, ready, spiffeId])).to.deep.equal([
      ['server', true, serverId],
      ['client', true, clientId],
    ]);
    const show = await sidekey(['identity', 'show', 'client', '--sidecar', sidecarAddress]);
    expect(show.out).to.contain(clientId);
    const none = await sidekey(['identity', 'show', 'nobody', '--sidecar', sidecarAddress]);
    expect(none.code).to.equal(1);
    expect(none.err).to.contain('"nobody"');
  });

  it('sidecar --check says ok, or everything that is wrong', async () => {
    const good = await sidekey(['sidecar', '--check', '--config', join(directory, 'sidecar.yaml')]);
    expect(good.code, good.err).to.equal(0);
    const file = join(directory, 'bad.yaml');
    await writeFile(file, 'listen: []\nnonsense: 1\nidentities: {}\n');
    const bad = await sidekey(['sidecar', '--check', '--config', file]);
    expect(bad.code).to.equal(1);
    for (const setting of ['listen', 'nonsense', 'identities']) {
      expect(bad.err).to.contain(setting);
    }
  });
});

const configuration = `
listen:
  - address: unix:./sidecar.sock
identities:
  server: { certificate: ./server.pem, privateKey: ./server.key, default: true }
  client: { certificate: ./client.pem, privateKey: ./client.key }
trust: { bundle: ./roots.pem }
tls: { clientAuth: request }
`;
