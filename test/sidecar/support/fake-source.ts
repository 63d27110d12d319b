import { toHex } from '../../../src/bytes/bytes.ts';
import { ServiceError } from '../../../src/rpc/errors.ts';
import type {
  CredentialSource,
  Enrolment,
  RevocationList,
  RevokedCertificate,
  SourceCredential,
  SourceStatus,
  SourceTrust,
} from '../../../src/sidecar/index.ts';
import type { IssuedIdentity, TestCa } from '../../support/test-ca.ts';

/** An enrolled identity as a test wants it to be. */
export class FakeSource implements CredentialSource {
  current: SourceCredential | undefined;
  decryption: SourceCredential | undefined;
  retiredDecryption: SourceCredential | undefined;
  trust: SourceTrust | undefined;
  problem: string | undefined;
  ticketKeysNotBefore: Date | undefined;
  status: SourceStatus = {
    state: 'waiting for a bundle',
    renewAt: undefined,
    trustReceivedAt: undefined,
    bundleSequence: 0,
    feedSequence: 0,
    renewals: 0,
    failedRenewals: 0,
  };
  readonly revocations = new FakeRevocations();
  /** What the bundles it was given said. */
  readonly bundles: string[] = [];
  #generation = 0;
  readonly #listeners = new Set<() => void>();

  /** As one that has enrolled. */
  static enrolled(ca: TestCa, issued: IssuedIdentity): FakeSource {
    const source = new FakeSource();
    source.follow(ca.certificate);
    source.use(issued);
    return source;
  }

  /** Puts a new certificate to use. */
  use(issued: IssuedIdentity): void {
    const version = `${toHex(issued.chain[0]!.subarray(0, 8))}-${String((this.#generation += 1))}`;
    this.current = { version, privateKey: issued.privateKey, chain: issued.chain };
    this.changed({ state: 'enrolled', trustReceivedAt: new Date() });
  }

  follow(...roots: Uint8Array[]): void {
    this.trust = { sequence: (this.trust?.sequence ?? 0) + 1, roots, intermediates: [] };
    this.changed({ bundleSequence: this.trust.sequence });
  }

  changed(status: Partial<SourceStatus> = {}): void {
    this.status = { ...this.status, ...status };
    for (const listener of this.#listeners) listener();
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  enroll(bundle: Uint8Array): Promise<Enrolment> {
    const text = Buffer.from(bundle).toString();
    this.bundles.push(text);
    if (text === 'spent') {
      return Promise.reject(new ServiceError('PERMISSION_DENIED', 'refused', 'the token is spent'));
    }
    const notAfter = new Date('2030-01-01T00:00:00Z');
    return Promise.resolve({
      spiffeId: 'spiffe://test/service/1',
      notAfter,
      alreadyEnrolled: false,
    });
  }

  /** What renewing comes to, and how often it was asked for. */
  renewal: () => Promise<Date> = () => Promise.resolve(new Date('2030-02-01T00:00:00Z'));
  renewals = 0;

  renew(): Promise<Date> {
    this.renewals += 1;
    return this.renewal();
  }

  forget(): Promise<boolean> {
    if (this.current === undefined) return Promise.resolve(false);
    this.current = undefined;
    this.trust = undefined;
    this.changed({ state: 'waiting for a bundle', trustReceivedAt: undefined });
    return Promise.resolve(true);
  }
}

export class FakeRevocations implements RevocationList {
  #revoked: RevokedCertificate[] = [];
  readonly #listeners = new Set<(added: readonly RevokedCertificate[] | undefined) => void>();

  get size(): number {
    return this.#revoked.length;
  }

  isRevoked({ serial, spiffeId }: { serial: Uint8Array; spiffeId?: string | undefined }): boolean {
    return this.#revoked.some((one) =>
      'serial' in one ? Buffer.compare(one.serial, serial) === 0 : one.spiffeId === spiffeId,
    );
  }

  all(): Iterable<RevokedCertificate> {
    return this.#revoked;
  }

  onAdded(listener: (added: readonly RevokedCertificate[] | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  add(...revoked: RevokedCertificate[]): void {
    this.#revoked.push(...revoked);
    for (const listener of this.#listeners) listener(revoked);
  }

  replace(...revoked: RevokedCertificate[]): void {
    this.#revoked = revoked;
    for (const listener of this.#listeners) listener(undefined);
  }
}
