import type { HostReport } from '../gen/sidekey/v1/certificate_authority.ts';
import { AuthorityLink } from './authority-link.ts';
import type { CredentialStore } from './credential-store.ts';
import type { HostPoint } from './crash-points.ts';
import { tokenDigest } from './current-slot.ts';
import type { DialAuthority } from './dial.ts';
import type { EnrolmentBundle } from './enrolment-bundle.ts';
import type { HostTrust } from './host-trust.ts';
import { checkIssued, IssuedError } from './issued-certificates.ts';
import type { PendingSlot } from './pending-slot.ts';
import { followTrust, pinnedTrust } from './trust-bundle.ts';

export interface EnrolmentOptions {
  readonly dial: DialAuthority;
  readonly store: CredentialStore;
  readonly trust: HostTrust;
  readonly now: () => Date;
  /** 0 to 1. */
  readonly random: () => number;
  readonly report: () => HostReport;
  /** The authority's clock, as it answered. */
  readonly onServerTime: (time: Date | undefined) => void;
  readonly reached: (point: HostPoint) => void;
  /** Called when the certificates are on disk; durable when it resolves. */
  readonly installed: () => Promise<void>;
}

/**
 * Asks once for the certificates of a new agent, with the token of a bundle and keys that are on disk,
 * and keeps them. Until the answer is on disk nothing is lost but time: asked again with the same keys,
 * the authority answers the same. Rejects with what `failureOf` understands, or the error of a file.
 */
export async function enrollOnce(
  options: EnrolmentOptions,
  bundle: EnrolmentBundle,
  pending: PendingSlot,
): Promise<void> {
  const { store, trust, now, random, report, reached } = options;
  const pinned = pinnedTrust(bundle);
  const link = new AuthorityLink({
    dial: options.dial,
    random,
    target: () => ({
      addresses: bundle.addresses,
      credential: bundle.credential,
      expectation: { trustDomain: bundle.trustDomain, roots: bundle.roots, intermediates: [] },
    }),
  });
  try {
    const { issued, trustBundle } = await link.enroll({
      token: bundle.token,
      tlsRequest: Buffer.from(pending.requests.tlsRequest),
      decryptionRequest: Buffer.from(pending.requests.decryptionRequest),
      report: report(),
    });
    options.onServerTime(issued?.serverTime);
    if (issued === undefined || trustBundle === undefined) {
      throw new IssuedError('answer_malformed', 'the answer is empty');
    }
    const believed = followTrust(pinned, trustBundle);
    const checked = checkIssued(issued, {
      keys: pending.keys,
      trust: believed,
      agent: undefined,
      role: bundle.role,
      now: now(),
    });
    reached('host.after_answer');
    await trust.beginAnew(bundle.trustDomain);
    await trust.adopt(trustBundle, pinned);
    reached('host.after_trust');
    await store.install({
      ...checked,
      keys: pending.keys,
      enrolledWith: tokenDigest(bundle.token),
      issuedAt: now(),
      renewalDraw: random(),
      confirmed: false,
    });
    await options.installed();
  } finally {
    await link.close();
  }
}
