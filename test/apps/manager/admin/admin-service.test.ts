import { mkdtempSync, rmSync } from 'node:fs';
import { type IncomingHttpHeaders, request as httpRequest, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as readText } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { adminRoutes } from '../../../../src/apps/fleet/admin-api/routes.ts';
import {
  type Administration,
  AdministrationError,
  type AdminService,
  type Order,
  startAdminService,
} from '../../../../src/apps/manager/admin/index.ts';
import { createOffload, type Offload } from '../../../../src/offload/index.ts';
import { memoryLog, startTestSidecar, type TestSidecar } from '../../../sidecar/fixture.ts';
import { sampleAgent, sampleAgentView, sampleFleet } from '../../fleet/page/sample-views.ts';

const { id } = sampleAgent(1);
const operator = 'spiffe://example.org/operator/0c000000-0000-4000-8000-000000000001';

interface Called {
  readonly method: string;
  readonly args: readonly unknown[];
}

/** Remembers what it is asked, and answers with samples. */
function scripted(calls: Called[]): Administration {
  const answers: Partial<Record<keyof Administration, unknown>> = {
    status: sampleFleet().manager,
    listAgents: sampleFleet().agents,
    showAgent: sampleAgent(1),
    history: sampleAgentView().history,
    events: { events: sampleAgentView().events, head: 2 },
  };
  const all = new Proxy({} as Administration, {
    get:
      (_, method: keyof Administration) =>
      (...args: readonly unknown[]) => {
        calls.push({
          method,
          args: args.map((arg) => (arg instanceof Uint8Array ? Buffer.from(arg).toString() : arg)),
        });
        if (args[0] === refusedId) throw new AdministrationError('not_found', 'no such agent');
        if (args[0] === brokenId) throw new Error('a secret detail');
        return Promise.resolve(answers[method] ?? { method });
      },
  });
  return all;
}

const refusedId = '00000000-0000-4000-8000-000000000404';
const brokenId = '00000000-0000-4000-8000-000000000500';

interface Answered {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

function send(
  options: RequestOptions,
  body?: string | Uint8Array,
  request: typeof httpRequest = httpRequest,
): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ ...options, agent: options.agent ?? false }, (response) => {
      readText(response).then((content) => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: content });
      }, reject);
    });
    outgoing.once('error', reject);
    outgoing.end(body);
  });
}

describe('administration of a manager', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sidekey-admin-'));
  const socketPath = join(directory, 'manager.sock');
  const calls: Called[] = [];
  const { log, lines } = memoryLog();
  let logged = 0;
  let uid = process.getuid?.() ?? 0;
  let sidecar: TestSidecar;
  let offload: Offload;
  let service: AdminService;

  before(async () => {
    sidecar = await startTestSidecar({
      identities: {
        manager: {
          uris: ['spiffe://example.org/manager/0b000000-0000-4000-8000-000000000001'],
          dnsNames: ['localhost'],
        },
        operator: { uris: [operator] },
        agent: { uris: ['spiffe://example.org/agent/0a000000-0000-4000-8000-000000000001'] },
        stranger: {
          uris: ['spiffe://elsewhere.org/operator/0c000000-0000-4000-8000-000000000001'],
        },
      },
    });
    offload = createOffload({ address: sidecar.address });
    service = await startAdminService({
      administration: scripted(calls),
      address: { kind: 'unix', path: socketPath },
      https: {
        address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
        offload,
        identity: 'manager',
        trustDomain: 'example.org',
        names: ['fleet.example.org'],
      },
      now: () => new Date(),
      log,
      readCredentials: () => ({ uid, gid: 0, pid: 1 }),
    });
  });
  beforeEach(() => {
    calls.length = 0;
    logged = lines.length;
    uid = process.getuid?.() ?? 0;
  });
  after(async () => {
    await service.close();
    await offload.close();
    await sidecar.close();
    rmSync(directory, { recursive: true });
  });

  const local = (
    method: string,
    path: string,
    body?: string | Uint8Array,
    headers: Record<string, string> = {},
  ): Promise<Answered> =>
    send({ socketPath, method, path, headers: { host: 'manager', ...headers } }, body);
  const errorOf = ({ body }: Answered): string =>
    (JSON.parse(body) as { error: { code: string } }).error.code;

  describe('routes', () => {
    const bodies: Readonly<Record<string, string>> = {
      registration: JSON.stringify({ name: 'a', address: 'h:1', bootstrapKeyHash: 'a'.repeat(64) }),
      modeChange: '{"mode":"bidirectional"}',
      operationOrder: '{"operation":"restart"}',
      configurationOrder: '{"content":{}}',
      reasoned: '{"reason":"because"}',
    };
    for (const route of adminRoutes) {
      it(`${route.method} ${route.path} comes to one method`, async () => {
        const body = 'body' in route ? bodies[route.body] : undefined;
        const answered = await local(route.method, route.path.replace('{id}', id), body, {
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          'idempotency-key': 'k1',
        });
        expect(answered.status, answered.body).to.equal(200);
        expect(calls).to.have.length(1);
        if (route.path.includes('{id}')) expect(calls[0]?.args[0]).to.equal(id);
        if (route.method === 'GET') return;
        const order = calls[0]?.args.at(-1) as Order;
        expect(order.actor).to.match(/^owner \(uid \d+\)$/u);
        expect(order.idempotencyKey).to.equal('k1');
      });
    }

    it('hands a bundle over and wipes it', async () => {
      const { status } = await local('POST', `/v1/agents/${id}/activate`, 'the bundle', {
        'content-type': 'application/x-pem-file',
      });
      expect(status).to.equal(200);
      expect(calls[0]?.args[1]).to.equal('the bundle');
    });

    it('takes gzipped orders', async () => {
      const { status } = await local(
        'POST',
        `/v1/agents/${id}/quarantine`,
        gzipSync('{"reason":"x"}'),
        {
          'content-type': 'application/json',
          'content-encoding': 'gzip',
        },
      );
      expect(status).to.equal(200);
      expect(calls[0]?.args.slice(0, 3)).to.eql([id, 'quarantine', 'x']);
    });
  });

  for (const { title, method = 'GET', path, body, headers = {}, status, code } of [
    { title: 'an unknown path', path: '/v1/nothing', status: 404, code: 'not_found' },
    {
      title: 'a path with dots',
      path: '/v1/agents/..%2f..%2fjobs',
      status: 400,
      code: 'malformed_request',
    },
    {
      title: 'a method that is not its',
      method: 'DELETE',
      path: `/v1/agents/${id}`,
      status: 404,
      code: 'not_found',
    },
    { title: 'an id that is none', path: '/v1/agents/1', status: 400, code: 'malformed_request' },
    {
      title: 'a query it does not know',
      path: '/v1/agents?color=red',
      status: 400,
      code: 'malformed_request',
    },
    {
      title: 'a limit beyond bounds',
      path: '/v1/agents?limit=100001',
      status: 400,
      code: 'malformed_request',
    },
    {
      title: 'what its core refuses',
      path: `/v1/agents/${refusedId}`,
      status: 404,
      code: 'not_found',
    },
    { title: 'what goes wrong', path: `/v1/agents/${brokenId}`, status: 500, code: 'internal' },
    {
      title: 'JSON that is none',
      method: 'POST',
      path: '/v1/agents',
      body: '{',
      headers: { 'content-type': 'application/json' },
      status: 400,
      code: 'malformed_request',
    },
    {
      title: 'another content type',
      method: 'POST',
      path: '/v1/agents',
      body: '{}',
      headers: { 'content-type': 'text/plain' },
      status: 415,
      code: 'unsupported_content',
    },
    {
      title: 'a bomb',
      method: 'POST',
      path: '/v1/agents',
      body: gzipSync(Buffer.alloc(9 * 1024 * 1024)),
      headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
      status: 413,
      code: 'body_too_large',
    },
    {
      title: 'an operation without its key',
      method: 'POST',
      path: '/v1/jobs',
      body: '{"operation":"x"}',
      headers: { 'content-type': 'application/json' },
      status: 400,
      code: 'malformed_request',
    },
    {
      title: 'an order of a page elsewhere',
      method: 'POST',
      path: `/v1/agents/${id}/forget`,
      headers: { origin: 'http://127.0.0.1:8080' },
      status: 403,
      code: 'not_for_browsers',
    },
    {
      title: 'a name that is made to point here',
      path: '/',
      headers: { host: 'evil.example:8080' },
      status: 421,
      code: 'unknown_host',
    },
  ]) {
    it(`refuses ${title}, changing nothing`, async () => {
      const answered = await local(method, path, body, headers);
      expect([answered.status, errorOf(answered)]).to.eql([status, code]);
      expect(answered.body).to.not.contain('a secret detail');
      expect(lines.slice(logged).filter(({ level }) => level >= 40)).to.have.length(1);
      expect(calls.every(({ method: asked }) => asked === 'showAgent')).to.equal(true);
    });
  }

  it('closes connections of other users at once', async () => {
    uid = 65_534;
    const problem = await local('GET', '/v1/manager').then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(problem).to.be.instanceOf(Error);
    expect(calls).to.have.length(0);
  });

  describe('pages', () => {
    for (const { path, says } of [
      { path: '/', says: 'web-3' },
      { path: '/?state=active', says: 'aria-current' },
      { path: `/agents/${id}`, says: '<svg class="plot"' },
      { path: '/style.css', says: '--line' },
    ]) {
      it(`serves ${path}`, async () => {
        const { status, headers, body } = await local('GET', path, undefined, {
          host: '127.0.0.1:8080',
        });
        expect(status).to.equal(200);
        expect(body).to.contain(says);
        if (path !== '/style.css') {
          expect(headers['content-security-policy']).to.contain("default-src 'none'");
        }
      });
    }

    it('are gzipped for who can read that', async () => {
      const { headers } = await local('GET', '/', undefined, { 'accept-encoding': 'gzip' });
      expect(headers['content-encoding']).to.equal('gzip');
    });
  });

  describe('over HTTPS', () => {
    const remote = (identity: string): Promise<Answered> => {
      const port = Number(service.https?.split(':').at(-1));
      const agent = offload.httpsAgent({ identity });
      return send(
        { agent, host: 'localhost', port, path: `/v1/agents/${id}/forget`, method: 'POST' },
        '',
        httpsRequest,
      );
    };

    it('answers operators, by their names', async () => {
      const { status, body } = await remote('operator');
      expect(status, body).to.equal(200);
      expect((calls[0]?.args.at(-1) as Order).actor).to.equal(operator);
    });

    for (const identity of ['agent', 'manager', 'stranger']) {
      it(`refuses the certificate of ${identity} in the handshake`, async () => {
        const problem = await remote(identity).then(
          () => undefined,
          (error: unknown) => error,
        );
        expect(problem).to.be.instanceOf(Error);
        expect(calls).to.have.length(0);
      });
    }
  });
});
