import { CertificateError } from '../../src/pki/certificate-error.ts';
import { createTrustAnchors } from '../../src/pki/trust-anchors.ts';
import {
  type VerifiedChain,
  verifyChain,
  type VerifyChainOptions,
} from '../../src/pki/verify-chain.ts';
import { type RawIssued, testNow } from '../support/raw-certificate.ts';

/** Looks for a path at the time for which test certificates are made. */
export function verify(
  chain: readonly RawIssued[],
  anchors: readonly RawIssued[],
  options: Partial<VerifyChainOptions> = {},
): VerifiedChain {
  return verifyChain({
    certificates: chain.map((each) => each.der),
    anchors: createTrustAnchors(anchors.map(({ certificate }) => certificate)),
    now: testNow,
    purpose: 'server',
    ...options,
  });
}

/** The error of an attempt that has to be refused. */
export function refusal(attempt: () => unknown): CertificateError {
  try {
    attempt();
  } catch (error) {
    if (error instanceof CertificateError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}
