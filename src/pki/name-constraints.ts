import { CertificateError } from './certificate-error.ts';
import { type Certificate, describeCertificate } from './certificate.ts';
import { comparableName, emailAddressesOf, isEmptyName } from './distinguished-name.ts';
import type { GeneralNames } from './general-names.ts';
import { isHostName, isPresentedName, parseIpAddress } from './host-name.ts';

/**
 * Checks a certificate against the name constraints of a CA above it
 * ({@link https://www.rfc-editor.org/rfc/rfc5280#section-4.2.1.10 | RFC 5280 §4.2.1.10}): each of its names
 * must lie in a permitted subtree of its kind, if the CA names any, and in no excluded one. A
 * constraint that is itself malformed, or of a kind we cannot compare while the certificate has such
 * names, refuses. `spend` is called with the number of comparisons about to be made.
 *
 * Throws `CertificateError` (`name_constraint_violated`, `unusable_name_constraint`).
 */
export function checkNameConstraints(
  ca: Certificate,
  certificate: Certificate,
  spend: (comparisons: number) => void,
): void {
  if (ca.nameConstraints === undefined) return;
  const { permitted, excluded } = ca.nameConstraints;
  const names = namesOf(certificate);
  const pair: Pair = { ca, certificate, spend };
  checkKind(pair, names.dnsNames, permitted?.dnsNames, excluded?.dnsNames, dns);
  checkKind(pair, names.ipAddresses, permitted?.ipAddresses, excluded?.ipAddresses, ip);
  checkKind(pair, names.uris, permitted?.uris, excluded?.uris, uri);
  checkKind(pair, names.emailAddresses, permitted?.emailAddresses, excluded?.emailAddresses, email);
  checkKind(
    pair,
    names.directoryNames,
    permitted?.directoryNames,
    excluded?.directoryNames,
    directory,
  );
  checkOtherKinds(pair, names, permitted, excluded);
}

/** How names of one kind compare with the bases of subtrees. */
interface NameForm<Name> {
  readonly isBase: (base: Name) => boolean;
  /** Whether a name can be compared at all. */
  readonly isName: (name: Name) => boolean;
  /** Whether all that `name` stands for lies in the subtree. */
  readonly within: (name: Name, base: Name) => boolean;
  /** Whether some of what `name` stands for lies in the subtree. */
  readonly touches: (name: Name, base: Name) => boolean;
}

interface Pair {
  readonly ca: Certificate;
  readonly certificate: Certificate;
  readonly spend: (comparisons: number) => void;
}

function checkKind<Name>(
  pair: Pair,
  names: readonly Name[],
  permitted: readonly Name[] = [],
  excluded: readonly Name[] = [],
  form: NameForm<Name>,
): void {
  const bases = permitted.length + excluded.length;
  if (bases === 0) return;
  pair.spend((1 + names.length) * bases);
  if (!permitted.every(form.isBase) || !excluded.every(form.isBase)) {
    throw unusable(pair, 'is malformed');
  }
  for (const name of names) {
    if (!form.isName(name)) throw violated(pair, 'has a name that cannot be compared');
    if (permitted.length > 0 && !permitted.some((base) => form.within(name, base))) {
      throw violated(pair, 'has a name outside');
    }
    if (excluded.some((base) => form.touches(name, base))) {
      throw violated(pair, 'has a name excluded by');
    }
  }
}

function checkOtherKinds(
  pair: Pair,
  names: GeneralNames,
  permitted: GeneralNames | undefined,
  excluded: GeneralNames | undefined,
): void {
  const bases = [...(permitted?.others ?? []), ...(excluded?.others ?? [])];
  if (bases.length === 0) return;
  pair.spend(bases.length * names.others.length);
  const constrained = new Set(bases.map(({ kind }) => kind));
  if (names.others.some(({ kind }) => constrained.has(kind))) {
    throw unusable(pair, 'is of a kind we cannot compare');
  }
}

/**
 * The names constraints apply to: alternative names, the subject as a directory name, and mail
 * addresses in the subject.
 */
function namesOf(certificate: Certificate): GeneralNames {
  const { subjectAltNames: names, subject } = certificate;
  if (isEmptyName(subject)) return names;
  return {
    ...names,
    emailAddresses: [...names.emailAddresses, ...emailAddressesOf(subject)],
    directoryNames: [...names.directoryNames, subject],
  };
}

function isWithinHost(name: string, base: string): boolean {
  const host = name.toLowerCase();
  const suffix = base.toLowerCase();
  return suffix === '' || host === suffix || host.endsWith(`.${suffix}`);
}

/** A base with a leading dot is for URIs and mail only: software disagrees about it in DNS. */
const dns: NameForm<string> = {
  isBase: (base) => base === '' || isHostName(base),
  isName: isPresentedName,
  within: (name, base) => isWithinHost(withoutWildcard(name), base),
  touches: (name, base) =>
    isWithinHost(withoutWildcard(name), base) ||
    // `*.example.com` stands for `a.example.com` too.
    (name.startsWith('*.') && isOneLabelBelow(base, withoutWildcard(name))),
};

/** Address and mask; the mask is a run of ones (RFC 4632 §3.1). */
const ip: NameForm<Uint8Array> = {
  isBase: (base) =>
    (base.length === 8 || base.length === 32) && isMask(base.subarray(base.length / 2)),
  isName: (name) => name.length === 4 || name.length === 16,
  within: isWithinNetwork,
  touches: isWithinNetwork,
};

/** The constraint is on the host: exact, or any host below when it starts with a dot. */
const uri: NameForm<string> = {
  isBase: isHostOrSuffix,
  isName: (name) => hostOfUri(name) !== undefined,
  within: isUriWithin,
  touches: isUriWithin,
};

/** A mailbox, all mailboxes of a host, or, with a leading dot, of all hosts below. */
const email: NameForm<string> = {
  isBase: (base) => (base.includes('@') ? parseMailbox(base) !== undefined : isHostOrSuffix(base)),
  isName: (name) => parseMailbox(name) !== undefined,
  within: isMailboxWithin,
  touches: isMailboxWithin,
};

/** The relative names of the base are the first of the name. */
const directory: NameForm<Uint8Array> = {
  isBase: () => true,
  isName: () => true,
  within: isDirectoryWithin,
  touches: isDirectoryWithin,
};

function withoutWildcard(name: string): string {
  return name.startsWith('*.') ? name.slice(2) : name;
}

function isOneLabelBelow(name: string, parent: string): boolean {
  const dot = name.indexOf('.');
  return dot !== -1 && name.slice(dot + 1).toLowerCase() === parent.toLowerCase();
}

function isHostOrSuffix(base: string): boolean {
  return isHostName(base.startsWith('.') ? base.slice(1) : base);
}

function isHostWithin(host: string, base: string): boolean {
  const lower = host.toLowerCase();
  return base.startsWith('.') ? lower.endsWith(base.toLowerCase()) : lower === base.toLowerCase();
}

function isUriWithin(name: string, base: string): boolean {
  const host = hostOfUri(name);
  return host !== undefined && isHostWithin(host, base);
}

/** The host name in a URI; `undefined` if there is no authority or it names an address. */
function hostOfUri(text: string): string | undefined {
  const authority = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/([^/?#]*)/.exec(text)?.[1];
  if (authority === undefined) return undefined;
  const host = authority.slice(authority.lastIndexOf('@') + 1).replace(/:[0-9]*$/, '');
  if (parseIpAddress(host) !== undefined) return undefined;
  // Trust domains may hold an underscore, which host names may not.
  return /^[A-Za-z0-9._-]+$/.test(host) ? host : undefined;
}

function isMailboxWithin(name: string, base: string): boolean {
  const mailbox = parseMailbox(name);
  if (mailbox === undefined) return false;
  const exact = parseMailbox(base);
  if (exact === undefined) return isHostWithin(mailbox.host, base);
  // RFC 5321 §2.4: the local part is case-sensitive, the host is not.
  return mailbox.local === exact.local && mailbox.host.toLowerCase() === exact.host.toLowerCase();
}

function parseMailbox(text: string): { readonly local: string; readonly host: string } | undefined {
  const at = text.indexOf('@');
  const host = text.slice(at + 1);
  const local = text.slice(0, at);
  return at > 0 && isHostName(host) && /^[\x21-\x7e]+$/.test(local) ? { local, host } : undefined;
}

function isMask(mask: Uint8Array): boolean {
  let ended = false;
  for (const byte of mask) {
    if (ended && byte !== 0) return false;
    // Ones followed by zeros, within the byte where the run ends.
    const inverse = ~byte & 0xff;
    if ((inverse & (inverse + 1)) !== 0) return false;
    if (byte !== 0xff) ended = true;
  }
  return true;
}

function isWithinNetwork(address: Uint8Array, base: Uint8Array): boolean {
  const bytes = base.length / 2;
  if (address.length !== bytes) return false;
  return address.every(
    (byte, index) => ((byte ^ (base[index] ?? 0)) & (base[bytes + index] ?? 0)) === 0,
  );
}

function isDirectoryWithin(name: Uint8Array, base: Uint8Array): boolean {
  const wanted = comparableName(base);
  const found = comparableName(name);
  return wanted.every((relative, index) => relative === found[index]);
}

function violated({ ca, certificate }: Pair, problem: string): CertificateError {
  return new CertificateError(
    'bad_certificate',
    'name_constraint_violated',
    `${describeCertificate(certificate)} ${problem} the name constraints of ${describeCertificate(ca)}`,
  );
}

function unusable({ ca }: Pair, problem: string): CertificateError {
  return new CertificateError(
    'bad_certificate',
    'unusable_name_constraint',
    `a name constraint of ${describeCertificate(ca)} ${problem}`,
  );
}
