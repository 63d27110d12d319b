import type { HostReport } from '../gen/sidekey/v1/certificate_authority.ts';
import type { AuthorityLink } from './authority-link.ts';
import type { CredentialStore } from './credential-store.ts';
import type { HostPoint } from './crash-points.ts';
import type { CurrentSlot } from './current-slot.ts';
import type { HostTrust } from './host-trust.ts';
import { checkIssued, IssuedError } from './issued-certificates.ts';
import { proveArrival, proveRenewal } from './proof.ts';

/** What a renewal works on. */
export interface RenewalOptions {
  readonly link: AuthorityLink;
  readonly store: CredentialStore;
  readonly trust: HostTrust;
  readonly now: () => Date;
  /** 0 to 1. */
  readonly random: () => number;
  readonly report: () => HostReport;
  /** The authority's clock, as it answered. */
  readonly onServerTime: (time: Date | undefined) => void;
  readonly reached: (point: HostPoint) => void;
}

/**
 * Obtains new certificates for new keys and puts them in the place of the current ones. Whatever goes
 * wrong, the current ones stay; asked again, even after a crash, the same keys are used. Rejects with
 * what `failureOf` understands, or the error of a file.
 */
export async function renew(options: RenewalOptions, current: CurrentSlot): Promise<void> {
  const { link, store, trust, now, report, reached } = options;
  const pending = await store.prepare({ tag: 'renewal' }, current.renewalToken);
  const content = { ...pending.requests, renewalToken: pending.token };
  const response = await link.renew({
    renewalToken: pending.token,
    tlsRequest: Buffer.from(content.tlsRequest),
    decryptionRequest: Buffer.from(content.decryptionRequest),
    proof: Buffer.from(await proveRenewal(current.keys.tls, content)),
    currentSerial: Buffer.from(current.leaf.serialNumber),
    report: report(),
  });
  const { issued, trustBundle } = response;
  options.onServerTime(issued?.serverTime);
  if (issued === undefined) throw new IssuedError('answer_malformed', 'the answer is empty');
  if (trustBundle !== undefined) await trust.adopt(trustBundle);
  if (trust.trust === undefined) throw new IssuedError('no_trust', 'no root is known');
  const checked = checkIssued(issued, {
    keys: pending.keys,
    trust: trust.trust,
    agent: { id: current.agentId, spiffeId: current.spiffeId },
    role: roleOf(current.spiffeId),
    now: now(),
  });
  reached('host.after_answer');
  await store.install({
    ...checked,
    keys: pending.keys,
    enrolledWith: current.enrolledWith,
    issuedAt: now(),
    renewalDraw: options.random(),
    confirmed: false,
  });
}

/** Tells the authority that the current certificates arrived, so that it supersedes those before. */
export async function confirm(options: RenewalOptions, current: CurrentSlot): Promise<void> {
  const serial = current.leaf.serialNumber;
  const proof = await proveArrival(current.keys.tls, serial);
  await options.link.confirm({ serial: Buffer.from(serial), proof: Buffer.from(proof) });
  options.reached('host.after_confirm');
  await options.store.markConfirmed();
}

/** Second part of a SPIFFE ID of ours. */
function roleOf(spiffeId: string): string {
  return spiffeId.split('/')[3] ?? '';
}
