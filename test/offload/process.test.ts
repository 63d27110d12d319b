import { execFile } from 'node:child_process';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { createServer as createHttp2Server } from 'node:http2';
import { expect } from 'chai';
import { createOffload } from '../../src/offload/index.ts';
import { listen } from './support/connections.ts';
import { FakeSidecar } from './support/fake-sidecar.ts';
import { typescriptOptions } from '../support/typescript.ts';

describe('the connection to the sidecar', () => {
  let sidecar: FakeSidecar;

  beforeEach(async () => {
    sidecar = await FakeSidecar.start();
  });

  afterEach(async () => {
    await sidecar.close();
  });

  it('does not keep the process alive, and is found by the environment', async () => {
    const script = fileURLToPath(new URL('./support/short-lived.ts', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, [...typescriptOptions, script], {
      env: { ...process.env, SIDEKEY_ADDRESS: sidecar.address, SIDEKEY_IDENTITY: 'web' },
      timeout: 15_000,
    });
    expect(stdout).to.equal('done');
    const [start] = sidecar.starts;
    expect(start?.reqOneof?.value).to.satisfy((value: object) =>
      'identityName' in value
        ? value.identityName === 'web'
        : 'identityNames' in value && JSON.stringify(value.identityNames) === '["web"]',
    );
  });

  it('waits for a sidecar to be ready', async () => {
    sidecar.behaviour.ready = false;
    const offload = createOffload({ address: sidecar.address });
    const waiting = offload.waitForSidecar({ timeoutMs: 5000 });
    sidecar.behaviour.ready = true;
    await waiting;
    sidecar.behaviour.ready = false;
    const problem: unknown = await offload
      .waitForSidecar({ timeoutMs: 10 })
      .catch((error: unknown) => error);
    expect(problem).to.include({ code: 'ERR_OFFLOAD_UNAVAILABLE', reason: 'identity_not_ready' });
    await offload.close();
  });

  it('lists identities and the generation of the trust bundle', async () => {
    const offload = createOffload({ address: sidecar.address });
    const { identities, trustGeneration } = await offload.listIdentities();
    expect(trustGeneration).to.equal(3n);
    expect(identities).to.have.length(1);
    expect(identities[0]).to.include({ name: 'web', isDefault: true, ready: true });
    await offload.close();
  });

  for (const { name, server } of [
    {
      name: 'speaks something else',
      server: () => createServer((socket) => socket.end('220 mail.example ESMTP\r\n')),
    },
    {
      name: 'speaks HTTP/2 but not gRPC',
      server: () =>
        createHttp2Server((_request, response) => {
          response.statusCode = 404;
          response.end('no');
        }),
    },
    { name: 'hangs up', server: () => createServer((socket) => socket.destroy()) },
  ]) {
    it(`fails with a clear error if what listens there ${name}`, async () => {
      const other = server();
      const port = await listen(other);
      const offload = createOffload({
        address: `127.0.0.1:${String(port)}`,
        timeouts: { sidecarMs: 50 },
      });
      const error: unknown = await offload.listIdentities().catch((reason: unknown) => reason);
      expect(error).to.have.property('code', 'ERR_OFFLOAD_UNAVAILABLE');
      await offload.close();
      other.close();
    });
  }

  it('is refused once the offload is closed', async () => {
    const offload = createOffload({ address: sidecar.address });
    await offload.close();
    const error: unknown = await offload.listIdentities().catch((reason: unknown) => reason);
    expect(error).to.have.property('code', 'ERR_OFFLOAD_CLOSED');
  });
});
