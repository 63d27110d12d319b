import { constants } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Server } from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import type * as OffloadPackage from '../src/offload/index.ts';

/** The two ways to do TLS that are compared, behind one interface. */
export interface Stack {
  /** A connection on its way; emits `secureConnect`. */
  connect(port: number, kind: HandshakeKind): Connection;
  /** A server whose connections go to `serve` once they are secure. */
  createServer(kind: HandshakeKind, serve: (connection: Connection) => void): Server;
  /** Resolves when handshakes can begin. */
  ready(): Promise<void>;
}

/** Key of the server, and whether sessions are resumed. Clients always show an ECDSA certificate. */
export type HandshakeKind = 'ecdsa' | 'rsa' | 'resumed';

export type Connection = Duplex & { isSessionReused(): boolean };

export interface StackSettings {
  readonly stack: 'node:tls' | 'offload';
  readonly recordCipher: 'native' | 'node';
  /** Sidecars of this end, without and with session tickets: `unix:PATH`. */
  readonly sidecar: string;
  readonly resumingSidecar: string;
  /** PEM files for `node:tls`. */
  readonly files: Readonly<Record<'ca' | `${'ecdsa' | 'rsa'}${'Certificate' | 'Key'}`, string>>;
}

export async function createStack(settings: StackSettings): Promise<Stack> {
  return settings.stack === 'node:tls' ? nodeTls(settings) : await offload(settings);
}

/** One suite and one group, the ones both stacks choose first; certificates on both sides. */
function nodeTls({ files }: StackSettings): Stack {
  const ca = readFileSync(files.ca);
  const options = (key: 'ecdsa' | 'rsa', suites: string): tls.SecureContextOptions => ({
    key: readFileSync(files[`${key}Key`]),
    cert: readFileSync(files[`${key}Certificate`]),
    ca,
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.2',
    ciphers: suites,
    ecdhCurve: 'prime256v1',
  });
  const secureContext = tls.createSecureContext(options('ecdsa', `${ecdsaSuite}:${rsaSuite}`));
  let session: Buffer | undefined;
  return {
    ready: () => Promise.resolve(),
    connect(port, kind) {
      const resumed = kind === 'resumed';
      const connection = tls.connect({
        host: '127.0.0.1',
        port,
        servername: serverName,
        secureContext,
        ...(resumed && session !== undefined ? { session } : {}),
      });
      if (resumed) {
        connection.on('session', (bytes) => {
          session = bytes;
        });
      }
      return connection;
    },
    createServer(kind, serve) {
      return tls.createServer(
        {
          ...(kind === 'rsa' ? options('rsa', rsaSuite) : options('ecdsa', ecdsaSuite)),
          secureOptions: kind === 'resumed' ? 0 : constants.SSL_OP_NO_TICKET,
          requestCert: true,
          rejectUnauthorized: true,
        },
        serve,
      );
    },
  };
}

async function offload(settings: StackSettings): Promise<Stack> {
  // The package as it is shipped; the source under a loader would carry the loader's own costs.
  const url = new URL('../dist/offload/index.js', import.meta.url);
  const { createOffload } = (await import(url.href)) as typeof OffloadPackage;
  const { recordCipher } = settings;
  const full = createOffload({ address: settings.sidecar, recordCipher });
  const resuming = createOffload({ address: settings.resumingSidecar, recordCipher });
  const of = (kind: HandshakeKind): typeof full => (kind === 'resumed' ? resuming : full);
  return {
    async ready() {
      await Promise.all([full.waitForSidecar(), resuming.waitForSidecar()]);
    },
    connect: (port, kind) =>
      of(kind).connect({ host: '127.0.0.1', port, servername: serverName, identity: 'ecdsa' }),
    createServer: (kind, serve) =>
      of(kind).createServer({ identity: kind === 'rsa' ? 'rsa' : 'ecdsa' }, serve),
  };
}

const ecdsaSuite = 'ECDHE-ECDSA-AES128-GCM-SHA256';
const rsaSuite = 'ECDHE-RSA-AES128-GCM-SHA256';

/** In the server's certificates. */
export const serverName = 'server.bench.test';
