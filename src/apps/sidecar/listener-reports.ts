import type { ListenerReport } from '../../gen/sidekey/v1/certificate_authority.ts';
import type { TlsFloors } from '../../identity/index.ts';
import type { VersionAttempt } from '../../sidecar/index.ts';
import type { CipherSuite } from '../../tls/index.ts';

/** A place where this process answers TLS handshakes. */
export interface TlsListener {
  /** Unique within the host. */
  readonly name: string;
  readonly address: string;
  readonly cipherSuites: readonly CipherSuite[];
  readonly attempts: readonly VersionAttempt[];
}

/**
 * What a listener really does, for the inventory of its authority: there is one version of TLS in this
 * program, so no policy can bring the floor below it, and none is obeyed that asks for more.
 */
export function listenerReport(
  listener: TlsListener,
  floors: TlsFloors | undefined,
): ListenerReport {
  const asked = floors?.listeners.get(listener.name) ?? floors?.minVersion;
  return {
    name: listener.name,
    address: listener.address,
    minVersion: spoken,
    maxVersion: spoken,
    source: asked === spoken ? 'policy' : 'default',
    cipherSuites: listener.cipherSuites.map(({ name }) => name),
    policyVersion: BigInt(floors?.version ?? 0),
    attempts: listener.attempts.map(({ peer, offered, count }) => ({
      peer,
      offered,
      count: BigInt(count),
    })),
  };
}

const spoken = 'TLSv1.2';
