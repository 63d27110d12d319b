import { copyOf, equal, toHex } from '../bytes/bytes.ts';
import type { IssuedCertificates } from '../gen/sidekey/v1/certificate_authority.ts';
import {
  type Certificate,
  CertificateError,
  parseCertificate,
  parseSpiffeId,
  spiffeIdOf,
  type VerifiedChain,
  verifyChain,
} from '../pki/index.ts';
import { verifyIssued } from '../pki/signature-algorithm.ts';
import { type HostKeys, publicInfo } from './host-keys.ts';
import type { TrustState } from './trust-bundle.ts';

/** An answer of the authority that is not what was asked for; `reason` is for programs. */
export class IssuedError extends Error {
  override readonly name = 'IssuedError';
  readonly reason: string;

  constructor(reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** What an answer is held against. */
export interface IssuedExpectation {
  /** Ours, which the certificates must be for. */
  readonly keys: HostKeys;
  readonly trust: TrustState;
  /** Absent at enrolment, where the authority chooses. */
  readonly agent: { readonly id: Uint8Array; readonly spiffeId: string } | undefined;
  /** Second part of the SPIFFE ID. */
  readonly role: string;
  readonly now: Date;
}

/** An answer that holds what was asked for. Bytes are copies. */
export interface CheckedCertificates {
  readonly tlsChain: readonly Uint8Array[];
  readonly leaf: Certificate;
  readonly decryptionChain: readonly Uint8Array[];
  readonly agentId: Uint8Array;
  readonly spiffeId: string;
  readonly renewalToken: string;
  readonly generation: number;
  readonly active: boolean;
  readonly properties: ReadonlyMap<string, string>;
}

/**
 * Checks what an authority issued before anything of it is kept: our own keys, the SPIFFE ID of the
 * agent it says we are, in our trust domain and role, a chain to a root we believe in, already valid,
 * fit for both sides of TLS. One that has ended is taken: it is the answer to a request that waited
 * long on our disk, and can be renewed. Throws {@link IssuedError}; `certificate_not_yet_valid` means
 * that this host's clock is behind.
 */
export function checkIssued(
  issued: IssuedCertificates,
  expectation: IssuedExpectation,
): CheckedCertificates {
  const { keys, trust } = expectation;
  checkBounds(issued);
  checkAgent(issued, expectation);
  const chain = verifiedChain(issued.tlsChain, expectation);
  const { leaf } = chain;
  if (!equal(leaf.publicKeyInfo, publicInfo(keys.tls))) {
    throw new IssuedError('certificate_of_other_key', 'the certificate is not of our key');
  }
  if (spiffeIdOf(leaf) !== issued.spiffeId) {
    throw new IssuedError('certificate_of_other_agent', 'the certificate is not of our SPIFFE ID');
  }
  if (keys.decryption !== undefined) {
    checkDecryption(issued, publicInfo(keys.decryption), chain, expectation.now, trust);
  } else if (issued.decryptionChain.length > 0) {
    throw malformed('has a certificate for decryption that was not asked for');
  }
  return {
    tlsChain: issued.tlsChain.map(copyOf),
    leaf,
    decryptionChain: issued.decryptionChain.map(copyOf),
    agentId: copyOf(issued.agentId),
    spiffeId: issued.spiffeId,
    renewalToken: issued.renewalToken,
    generation: issued.generation,
    active: issued.active,
    properties: new Map(Object.entries(issued.properties)),
  };
}

/** Text form of an agent's id ({@link https://www.rfc-editor.org/rfc/rfc9562#section-4 | RFC 9562 §4}). */
export function uuidText(id: Uint8Array): string {
  const hex = toHex(id);
  return [0, 8, 12, 16, 20].map((from, index, all) => hex.slice(from, all[index + 1])).join('-');
}

function checkBounds(issued: IssuedCertificates): void {
  const { tlsChain, decryptionChain, renewalToken, properties } = issued;
  if (tlsChain.length === 0 || tlsChain.length > maxChain || decryptionChain.length > maxChain) {
    throw malformed('has no chain, or one that is too long');
  }
  if (renewalToken === '' || renewalToken.length > maxTokenLength) {
    throw malformed('has no token for the next renewal');
  }
  if (issued.agentId.length !== 16) throw malformed('has no id of an agent');
  const entries = Object.entries(properties);
  const tooLong = entries.some(([name, value]) => name.length > 256 || value.length > 4096);
  if (entries.length > 256 || tooLong) throw malformed('has too many properties');
}

function checkAgent(issued: IssuedCertificates, expectation: IssuedExpectation): void {
  const { agent, role, trust } = expectation;
  const id = parseSpiffeId(issued.spiffeId);
  if (id?.trustDomain !== trust.trustDomain) {
    throw new IssuedError(
      'certificate_of_other_domain',
      `the certificate is not of trust domain ${trust.trustDomain}`,
    );
  }
  if (id.path !== `/${role}/${uuidText(issued.agentId)}`) {
    throw new IssuedError('certificate_of_other_role', `the certificate is not of role ${role}`);
  }
  if (agent === undefined) return;
  if (issued.spiffeId !== agent.spiffeId || !equal(issued.agentId, agent.id)) {
    const message = `the certificate is of ${issued.spiffeId}, not of ${agent.spiffeId}`;
    throw new IssuedError('certificate_of_other_agent', message);
  }
}

function verifiedChain(
  certificates: readonly Uint8Array[],
  { trust, now }: IssuedExpectation,
): VerifiedChain {
  const [leaf] = certificates;
  const end = leaf === undefined ? now : parsed(leaf).notAfter;
  const options = {
    certificates: [...certificates, ...trust.intermediates.slice(0, maxIntermediates)],
    anchors: trust.anchors,
    now: end.getTime() < now.getTime() ? end : now,
    requireExtendedKeyUsage: true,
  };
  try {
    verifyChain({ ...options, purpose: 'client' });
    return verifyChain({ ...options, purpose: 'server' });
  } catch (cause) {
    throw chainError(cause, now);
  }
}

/** Of a key that may not sign, so the rules for TLS do not fit: same CA, same names, our key. */
function checkDecryption(
  issued: IssuedCertificates,
  ownInfo: Uint8Array,
  tls: VerifiedChain,
  now: Date,
  trust: TrustState,
): void {
  const [der] = issued.decryptionChain;
  if (der === undefined) throw malformed('lacks the certificate for decryption');
  const leaf = parsed(der);
  if (!equal(leaf.publicKeyInfo, ownInfo)) {
    const message = 'the certificate for decryption is not of our key';
    throw new IssuedError('certificate_of_other_key', message);
  }
  const [uri, second] = leaf.subjectAltNames.uris;
  if (uri !== issued.spiffeId || second !== undefined || leaf.basicConstraints?.isCa === true) {
    const message = 'the certificate for decryption is not of our SPIFFE ID';
    throw new IssuedError('certificate_of_other_agent', message);
  }
  const issuers = [...tls.path.slice(1), ...trust.anchors.withSubject(leaf.issuer)];
  if (!issuers.some((issuer) => isIssuedBy(leaf, issuer))) {
    const message = 'the certificate for decryption is not by the CA of the other one';
    throw new IssuedError('certificate_of_other_issuer', message);
  }
  if (now.getTime() < leaf.notBefore.getTime()) throw notYetValid(leaf.notBefore, now);
}

function isIssuedBy(leaf: Certificate, issuer: Certificate): boolean {
  const { signatureScheme: scheme, tbs, signature } = leaf;
  if (scheme === undefined || issuer.keyKind === undefined) return false;
  if (!equal(leaf.issuer, issuer.subject)) return false;
  return verifyIssued(issuer.publicKey, issuer.keyKind, scheme, tbs, signature);
}

function parsed(der: Uint8Array): Certificate {
  try {
    return parseCertificate(copyOf(der));
  } catch (cause) {
    if (!(cause instanceof CertificateError)) throw cause;
    throw malformed(`cannot be used: ${cause.message}`, { cause });
  }
}

function chainError(cause: unknown, now: Date): unknown {
  if (!(cause instanceof CertificateError)) return cause;
  if (cause.reason.endsWith('_not_yet_valid')) {
    const message = `${cause.message}: the clock of this host, ${now.toISOString()}, is behind`;
    return new IssuedError('certificate_not_yet_valid', message, { cause });
  }
  const message = `the certificate does not hold: ${cause.message}`;
  return new IssuedError(cause.reason, message, { cause });
}

function notYetValid(notBefore: Date, now: Date): IssuedError {
  return new IssuedError(
    'certificate_not_yet_valid',
    `the certificate is not valid before ${notBefore.toISOString()}: the clock of this host, ${now.toISOString()}, is behind`,
  );
}

function malformed(problem: string, options?: ErrorOptions): IssuedError {
  return new IssuedError('answer_malformed', `the answer ${problem}`, options);
}

const maxChain = 8;
const maxIntermediates = 48;
const maxTokenLength = 4096;
