import { connect } from 'node:net';
import { EngineHandshaker } from '../../src/apps/in-process-tls/engine-handshaker.ts';
import { engineSettings } from '../../src/apps/in-process-tls/engine-settings.ts';
import { secured } from '../../src/apps/in-process-tls/secured.ts';
import { sign } from '../../src/crypto/signatures.ts';
import { LivePeers } from '../../src/offload/live-peers.ts';
import { OffloadSocket } from '../../src/offload/offload-socket.ts';
import {
  createTrustAnchors,
  parseCertificate,
  spiffeIdOf,
  verifyChain,
} from '../../src/pki/index.ts';
import { joinKeyAndChain, type KeyWithChain } from '../../src/sidecar/index.ts';
import { createClientHandshake } from '../../src/tls/index.ts';
import type { FleetAuthority, Issued } from './fleet-authority.ts';

const now = (): Date => new Date();
const livePeers = new LivePeers();

/** How simulated agents reach their manager: our engine in this process, full handshakes, both sides judged. */
export class ManagerDialler {
  readonly #anchors;
  readonly #port: number;
  readonly #protocols: readonly string[];

  constructor(authority: FleetAuthority, port: number, protocols: readonly string[]) {
    this.#anchors = createTrustAnchors([authority.root]);
    this.#port = port;
    this.#protocols = protocols;
  }

  async dial({ chain, privateKey }: Issued): Promise<OffloadSocket> {
    const own = joinKeyAndChain(
      'agent',
      chain.map((der) => parseCertificate(der)),
      privateKey,
    );
    const raw = connect({
      host: '127.0.0.1',
      port: this.#port,
      noDelay: true,
      allowHalfOpen: true,
    });
    const socket = new OffloadSocket({
      raw,
      handshaker: new EngineHandshaker({ livePeers, begin: () => this.#begin(own) }),
      start: {
        role: 'client',
        applicationProtocols: this.#protocols,
        targetName: 'localhost',
        targetIdentities: [],
        identity: undefined,
        anonymous: false,
        keyingMaterial: [],
      },
      servername: 'localhost',
      handshakeTimeoutMs: 60_000,
      connectTimeoutMs: 60_000,
      recordCipher: undefined,
      allowHalfOpen: false,
      highWaterMark: 65_536,
    });
    await secured(socket);
    return socket;
  }

  #begin(
    own: KeyWithChain,
  ): ReturnType<ConstructorParameters<typeof EngineHandshaker>[0]['begin']> {
    let identity: string | undefined;
    return {
      engine: createClientHandshake({
        role: 'client',
        ...engineSettings(now),
        applicationProtocols: this.#protocols,
        serverName: 'localhost',
        credentials: [own.credential],
        requireCredential: true,
        requireRenegotiationInfo: true,
        sessionTickets: false,
      }),
      operations: {
        sign: ({ scheme, content }) => sign(own.privateKey, scheme, content),
        verify: ({ certificates }) => {
          const { leaf } = verifyChain({
            certificates,
            anchors: this.#anchors,
            now: now(),
            purpose: 'server',
          });
          identity = spiffeIdOf(leaf);
          if (leaf.keyKind === undefined) throw new Error('a manager with a key of no known kind');
          return { ok: true, publicKey: leaf.publicKey, keyKind: leaf.keyKind };
        },
      },
      peerIdentity: () => identity,
    };
  }
}
