import type { Finding } from '../../../gen/sidekey/v1/administration.ts';
import { ServiceError } from '../../../rpc/errors.ts';
import type { AuthorityContext } from '../../context.ts';
import type { CaKind } from '../../store/schema.ts';
import type { AuthorityFacts } from '../facts.ts';
import { failure, fine, warning } from './finding.ts';

/** Whether it issues, and what would make it stop. */
export function checkAuthority(context: AuthorityContext, facts: AuthorityFacts): Finding[] {
  return [
    ...checkIssuing(facts),
    checkEnrolmentMode(facts),
    checkKeyProtection(context, facts),
    ...kinds.flatMap((kind) => checkSigning(context, kind)),
  ];
}

function checkIssuing(facts: AuthorityFacts): Finding[] {
  const problems = facts.problems();
  if (problems.length === 0) return [fine('issuing', 'certificates are issued')];
  return problems.map((problem) =>
    failure(
      'issuing',
      `nothing is issued: ${problem}`,
      'put right what is named; it goes on alone',
    ),
  );
}

function checkEnrolmentMode({ enrolmentMode }: AuthorityFacts): Finding {
  if (enrolmentMode === 'closed') {
    return fine(
      'enrolment_mode',
      'only holders of a bundle or a certificate reach the enrolment port',
    );
  }
  return warning(
    'enrolment_mode',
    'enrolment is open: any host finishes a TLS handshake with the enrolment port',
    'set authority.enrolment to closed',
  );
}

function checkKeyProtection({ keys }: AuthorityContext, facts: AuthorityFacts): Finding {
  if (facts.keysProtected) return fine('key_protection', `CA keys are protected (${keys.kind})`);
  return warning(
    'key_protection',
    'CA keys are in files without a passphrase: a copy of the state directory is a copy of the CA',
    'set authority.keys.passphraseFile to a file kept elsewhere, or use PKCS #11',
  );
}

function checkSigning(context: AuthorityContext, kind: CaKind): Finding[] {
  let certificate;
  try {
    ({ certificate } = context.generations.signing(kind));
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    return [
      failure(
        'authority_keys',
        `the ${kind} key cannot be used: ${error.message}`,
        'see the log; bring the key manager back, or restore the key',
      ),
    ];
  }
  const now = context.now().getTime();
  const end = certificate.notAfter.getTime();
  const left = (end - now) / (end - certificate.notBefore.getTime());
  const until = certificate.notAfter.toISOString().slice(0, 10);
  const remedy = `sidekey rotate status; then rotate prepare ${kind}, publish, activate, reissue, retire`;
  if (left < pressingShare) {
    return [failure('authority_certificates', `the ${kind} CA ends on ${until}`, remedy)];
  }
  if (left < warningShare) {
    return [warning('authority_certificates', `the ${kind} CA ends on ${until}`, remedy)];
  }
  return [fine('authority_certificates', `the ${kind} CA signs until ${until}`)];
}

const kinds: readonly CaKind[] = ['root', 'issuing', 'enrolment'];
/** Automatic rotation activates the next one at a sixth; later than that something is stuck. */
const warningShare = 1 / 6;
const pressingShare = 1 / 20;
