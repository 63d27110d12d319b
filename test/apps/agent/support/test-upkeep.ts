import type { IdentityUpkeep } from '../../../../src/apps/agent/identities/identity-state.ts';
import {
  type IdentityList,
  type IdentityStatus,
  OffloadError,
  OffloadErrorCode,
} from '../../../../src/offload/index.ts';

/** What a sidecar says of its identities and does with them, as an authority would have it; handshakes are not its matter. */
export class TestUpkeep implements IdentityUpkeep {
  readonly agentId: string;
  readonly bundles: Buffer[] = [];
  readonly calls: string[] = [];
  enrolled: boolean;
  /** What the next calls fail with. */
  failure: OffloadError | undefined;
  /** The next calls wait for this. */
  gate: Promise<void> = Promise.resolve();
  #wake = new Set<() => void>();
  #keys = 1;

  constructor(agentId: string, enrolled: boolean) {
    this.agentId = agentId;
    this.enrolled = enrolled;
  }

  listIdentities(): Promise<IdentityList> {
    return Promise.resolve(this.#list());
  }

  async *watchIdentities({
    signal,
  }: { readonly signal?: AbortSignal | undefined } = {}): AsyncGenerator<IdentityList, void> {
    for (;;) {
      signal?.throwIfAborted();
      yield this.#list();
      await new Promise<void>((resolve) => {
        this.#wake.add(resolve);
        signal?.addEventListener('abort', () => {
          resolve();
        });
      });
    }
  }

  async enroll({ bundle }: { readonly bundle: Uint8Array }) {
    this.calls.push('enroll');
    await this.#turn();
    this.bundles.push(Buffer.from(bundle));
    const alreadyEnrolled = this.enrolled;
    this.enrolled = true;
    this.changed();
    return { spiffeId: this.agentId, notAfter: inAnHour(), alreadyEnrolled };
  }

  async renew() {
    this.calls.push('renew');
    await this.#turn();
    return { notAfter: inAnHour() };
  }

  async forget() {
    this.calls.push('forget');
    await this.#turn();
    const alreadyForgotten = !this.enrolled;
    this.enrolled = false;
    this.#keys += 1;
    this.changed();
    return { alreadyForgotten };
  }

  /** Tells watchers. */
  changed(): void {
    const waiting = [...this.#wake];
    this.#wake.clear();
    for (const wake of waiting) wake();
  }

  async #turn(): Promise<void> {
    await this.gate;
    if (this.failure !== undefined) throw this.failure;
  }

  #list(): IdentityList {
    return {
      trustGeneration: 1n,
      identities: [
        status('agent', {
          spiffeId: this.enrolled ? this.agentId : undefined,
          ready: this.enrolled,
          notAfter: this.enrolled ? inAnHour() : undefined,
        }),
        status('bootstrap', {
          ready: !this.enrolled,
          publicKeyHash: `sha256:${String(this.#keys).padStart(64, '0')}`,
          bootstrap: { until: 'agent', closed: this.enrolled },
        }),
      ],
    };
  }
}

export function sidecarAway(): OffloadError {
  return new OffloadError(OffloadErrorCode.unavailable, 'sidecar is away');
}

function status(name: string, facts: Partial<IdentityStatus>): IdentityStatus {
  return {
    name,
    isDefault: false,
    ready: true,
    problem: undefined,
    spiffeId: undefined,
    dnsNames: [],
    keyType: 'ecdsa-p256',
    fingerprint: new Uint8Array(32),
    publicKeyHash: undefined,
    notBefore: new Date(Date.now() - 3_600_000),
    notAfter: undefined,
    certificates: [],
    decryptionCertificates: [],
    enrolment: undefined,
    bootstrap: undefined,
    ...facts,
  };
}

function inAnHour(): Date {
  return new Date(Date.now() + 3_600_000);
}
