import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { createPeerCredentialsReader } from '../../src/rpc/peer-credentials.ts';
import { RpcServer } from '../../src/rpc/server.ts';
import { Admission } from '../../src/sidecar/admission.ts';
import { CallerPolicy } from '../../src/sidecar/callers.ts';
import { EngineDriver } from '../../src/sidecar/engine-driver.ts';
import { SidecarMetrics } from '../../src/sidecar/metrics.ts';
import { HandshakeService, handshakeService } from '../../src/sidecar/service.ts';
import type { StreamedHandshake } from '../../src/sidecar/stream.ts';
import { VersionAttempts } from '../../src/sidecar/version-attempts.ts';
import { createClientHandshake } from '../../src/tls/client/handshake.ts';
import type { HandshakeResult, SignAction, VerifyChainAction } from '../../src/tls/config.ts';
import { createServerHandshake } from '../../src/tls/server/handshake.ts';
import type { ShimConnectionConfig, ShimMemory } from './engine-session.ts';

/** What the runner's flags say of the handshake that comes next. */
export interface NextHandshake {
  readonly config: ShimConnectionConfig;
  readonly memory: ShimMemory;
}

/**
 * The handshake service of a sidecar on a unix socket: its streams, deadlines, queues and messages.
 * What it signs with and believes is what the runner says, for each connection anew, where a real one
 * has its configuration.
 */
export class ShimSidecar {
  readonly address: string;
  /** Which credential was signed with; `undefined` if none was. */
  signedWith: string | undefined;
  verifiedChain = false;
  result: HandshakeResult | undefined;
  readonly #directory: string;
  readonly #rpc: RpcServer<CallerPolicy>;

  private constructor(directory: string, rpc: RpcServer<CallerPolicy>) {
    this.#directory = directory;
    this.#rpc = rpc;
    this.address = `unix:${join(directory, 's')}`;
  }

  static async start(next: () => NextHandshake): Promise<ShimSidecar> {
    const directory = mkdtempSync(join(tmpdir(), 'sidekey-shim-'));
    const rpc = new RpcServer<CallerPolicy>({
      maxReceiveBytes: 196_608,
      maxConnections: 10,
      maxStreamsPerConnection: 10,
      readCredentials: createPeerCredentialsReader(),
      now: () => new Date(),
    });
    const sidecar = new ShimSidecar(directory, rpc);
    const service = new HandshakeService(
      {
        deadlines: {
          firstMessageTimeoutMs: 15_000,
          handshakeTimeoutMs: 15_000,
          idleTimeoutMs: 15_000,
        },
        newHandshake: (request) => sidecar.#handshake(request.role, next()),
        admission: { client: admission(), server: admission() },
        metrics: new SidecarMetrics(noFigures, new Registry()),
        versionAttempts: new VersionAttempts(),
        log: pino({ level: 'silent' }),
        newHandshakeId: () => 'shim',
        isDraining: () => false,
      },
      (peer) => rpc.connection(peer),
    );
    rpc.grpc.addService(handshakeService, { setUpSession: service.setUpSession });
    const address = { kind: 'unix', path: join(directory, 's') } as const;
    await rpc.listen({
      address,
      access: { mode: 0o600 },
      listener: new CallerPolicy({ address, mode: 0o600, allow: [] }, process.getuid?.()),
      requireCredentials: true,
      onRefused: () => undefined,
    });
    return sidecar;
  }

  async close(): Promise<void> {
    await this.#rpc.stopListening();
    this.#rpc.destroy();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #handshake(role: 'client' | 'server', { config, memory }: NextHandshake): StreamedHandshake {
    this.signedWith = undefined;
    this.verifiedChain = false;
    this.result = undefined;
    const engine =
      role === 'server'
        ? createServerHandshake(config.server(memory))
        : createClientHandshake(config.client(memory));
    const driver = new EngineDriver(engine, {
      sign: (action: SignAction) => {
        this.signedWith = action.credential.name;
        return config.sign(action);
      },
      verify: (action: VerifyChainAction) => {
        this.verifiedChain = true;
        return config.verify(action);
      },
      broken: (error: unknown) => {
        throw error;
      },
    });
    return {
      driver,
      localIdentity: undefined,
      complete: (result) => {
        this.result = result;
        return {
          role,
          result,
          applicationProtocol: result.applicationProtocol,
          connectionId: 1n,
          peerIdentity: undefined,
          localIdentity: undefined,
          peerFingerprint: undefined,
          peerPublicKeyHash: undefined,
          peerPinned: false,
          localFingerprint: undefined,
        };
      },
      // The shim compares what was agreed on afterwards.
      wipe: () => undefined,
    };
  }
}

function admission(): Admission {
  return new Admission({
    slots: 2,
    queue: 2,
    queueTimeoutMs: 1000,
    callerShare: 1,
    schedule: (delayMs, run) => {
      const timer = setTimeout(run, delayMs);
      return () => {
        clearTimeout(timer);
      };
    },
  });
}

const noFigures: ConstructorParameters<typeof SidecarMetrics>[0] = {
  inFlight: () => 0,
  queued: () => 0,
  openStreams: () => 0,
  connections: () => 0,
  clientSessions: () => 0,
  trustGeneration: () => 0,
  notAfter: () => [],
  revocationWatchers: () => 0,
  enrolled: () => [],
};
