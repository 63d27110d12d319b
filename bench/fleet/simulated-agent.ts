import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { buffer } from 'node:stream/consumers';
import { gunzipSync, gzipSync } from 'node:zlib';
import { reverseProtocols } from '../../src/apps/fleet/agent-api/connection.ts';
import type { Heartbeat, Hello } from '../../src/apps/fleet/agent-api/messages.ts';
import { verbs } from '../../src/apps/fleet/agent-api/verbs.ts';
import { openConfiguration } from '../../src/apps/fleet/configuration/index.ts';
import { toHex } from '../../src/bytes/bytes.ts';
import { openContentKey, parseRecipientInfo } from '../../src/pki/cms/index.ts';
import { parseCertificate } from '../../src/pki/index.ts';
import type { FleetAuthority, Issued } from './fleet-authority.ts';
import { trustDomain } from './fleet-authority.ts';

/**
 * An agent as far as a manager can tell: its own keys and certificates, TLS by our engine, the verbs a sweep and a
 * configuration need. It has no sidecar, no disk, no collectors, so that thousands fit beside the manager.
 */
export class SimulatedAgent {
  readonly id: string;
  readonly tls: Issued;
  readonly #decryption: Issued;
  readonly #hello: Hello;
  readonly #notAfter = new Date(Date.now() + 24 * 3_600_000).toISOString();
  #configuration = { version: 0, hash: '' };
  heartbeats = 0;

  constructor(authority: FleetAuthority, id: string) {
    this.id = id;
    const spiffeId = `spiffe://${trustDomain}/agent/${id}`;
    this.tls = authority.issue(spiffeId);
    this.#decryption = authority.issue(spiffeId, 'decryption');
    this.#hello = {
      instanceId: id,
      version: '0.1.0',
      state: 'active',
      mode: 'agent-initiated',
      agentId: spiffeId,
      capabilities: ['configuration', 'events'],
    };
  }

  get configurationVersion(): number {
    return this.#configuration.version;
  }

  async answer(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    const path = headers[':path'] ?? '';
    const request = await buffer(stream);
    const body = headers['content-encoding'] === 'gzip' ? gunzipSync(request) : request;
    const [bare = ''] = path.split('?', 1);
    const answer = await this.#answerTo(bare, body);
    if (stream.destroyed) return;
    stream.respond({
      ':status': answer === undefined ? 404 : 200,
      'content-type': 'application/json',
      'content-encoding': 'gzip',
    });
    stream.end(gzipSync(JSON.stringify(answer ?? { error: { code: 'not_found', message: '' } })));
  }

  async #answerTo(path: string, body: Buffer): Promise<object | undefined> {
    switch (path) {
      case verbs.health.path:
        return {};
      case verbs.hello.path:
        return this.#hello;
      case verbs.heartbeat.path:
        return this.#heartbeat();
      case verbs.events.path:
        return { events: [], head: 0 };
      case verbs.mode.path:
        return { mode: 'agent-initiated' };
      case verbs.recipient.path:
        return {
          certificates: this.#decryption.chain.map((der) => Buffer.from(der).toString('base64')),
        };
      case verbs.configure.path:
        return await this.#configure(body);
      default:
        return undefined;
    }
  }

  #heartbeat(): Heartbeat {
    this.heartbeats += 1;
    return {
      time: new Date().toISOString(),
      version: '0.1.0',
      mode: 'agent-initiated',
      problems: [],
      configuration: this.#configuration,
      eventHead: 0,
      eventsDropped: 0,
      operationsRunning: 0,
      certificateNotAfter: this.#notAfter,
      tlsMinVersion: 'TLSv1.2',
      uptimeSeconds: Math.round(process.uptime()),
    };
  }

  /** Really opened, with this agent's own key. */
  async #configure(der: Buffer): Promise<object> {
    const { chain, privateKey } = this.#decryption;
    const certificate = parseCertificate(chain[0] ?? new Uint8Array());
    const { version, contentHash } = await openConfiguration({
      der,
      agentId: this.id,
      now: new Date(),
      workload: {
        unwrapKey: ({ recipientInfo }) =>
          Promise.resolve({
            contentKey: openContentKey(parseRecipientInfo(recipientInfo), {
              certificate,
              privateKey,
            }),
            unwrapId: '',
          }),
        verifySigner: () => Promise.resolve({ spiffeId: `spiffe://${trustDomain}/manager/x` }),
      },
    });
    this.#configuration = { version, hash: toHex(contentHash) };
    return { outcome: 'applied', configuration: this.#configuration };
  }
}

export const offered = [...reverseProtocols];
