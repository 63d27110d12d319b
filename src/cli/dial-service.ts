import { connect as connectSocket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createOffload, type OffloadOptions, type OffloadSocket } from '../offload/index.ts';
import { parseSpiffeId } from '../pki/index.ts';

/** Where an authority or a manager is administered. */
export type ServiceAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | {
      readonly kind: 'tcp';
      readonly host: string;
      readonly port: number;
      /** SPIFFE ID it must prove; absent: a certificate for `host`. */
      readonly spiffeId: string | undefined;
      /** The sidecar with our identity of role `operator`. */
      readonly sidecar: OffloadOptions;
    };

/** What is to answer at an address. */
export interface Service {
  /** As the role in its SPIFFE ID. */
  readonly role: 'authority' | 'manager';
  /** ALPN name. */
  readonly protocol: 'h2' | 'http/1.1';
}

/** Nothing answers at an address, or not who should. */
export class ServiceUnreachableError extends Error {
  override readonly name = 'ServiceUnreachableError';
  /** Stable, for programs. */
  readonly reason: string;

  constructor(reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/**
 * Connects to a service: by its unix socket, or by mutual TLS with the operator's certificate, whose key
 * stays in the sidecar. Rejects with {@link ServiceUnreachableError} or an error of the offload library.
 */
export async function dialService(address: ServiceAddress, service: Service): Promise<Duplex> {
  return address.kind === 'unix' ? dialUnix(address.path, service) : dialTls(address, service);
}

async function dialUnix(path: string, { role }: Service): Promise<Duplex> {
  return await new Promise((resolve, reject) => {
    const socket = connectSocket({ path });
    socket.once('connect', () => {
      socket.removeListener('error', failed);
      resolve(socket);
    });
    const failed = (cause: Error): void => {
      const message = `no ${role} answers at unix:${path}: ${cause.message}`;
      reject(new ServiceUnreachableError(`${role}_unreachable`, message, { cause }));
    };
    socket.once('error', failed);
  });
}

async function dialTls(
  address: ServiceAddress & { kind: 'tcp' },
  { role, protocol }: Service,
): Promise<Duplex> {
  const offload = createOffload(address.sidecar);
  const socket = offload.connect({
    host: address.host,
    port: address.port,
    ALPNProtocols: [protocol],
    ...(address.spiffeId === undefined ? {} : { targetIdentities: [address.spiffeId] }),
  });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
    });
    requireRole(socket, role);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    // Established connections do not need the sidecar any more.
    await offload.close();
  }
}

/** A certificate of the fleet is not enough: whoever has the name may be any host. */
function requireRole({ peerIdentity, localIdentity }: OffloadSocket, role: Service['role']): void {
  const peer = parseSpiffeId(peerIdentity ?? '');
  const own = parseSpiffeId(localIdentity ?? '');
  if (peer?.path.startsWith(`/${role}/`) === true && peer.trustDomain === own?.trustDomain) return;
  throw new ServiceUnreachableError(
    `not_the_${role}`,
    `${peerIdentity ?? 'the peer'} is no ${role} of ${own?.trustDomain ?? 'our trust domain'}`,
  );
}
