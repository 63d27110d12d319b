/** Exit status by which a shim says "I do not implement this". */
export const UNIMPLEMENTED = 89;

/** A flag or value that the shim declines; the runner counts the test as unimplemented. */
export class Unimplemented extends Error {
  override readonly name = 'Unimplemented';
}

/** One certificate with its key, as given by a group of flags. */
export interface CredentialFlags {
  certFile?: string;
  keyFile?: string;
  signingPrefs: number[];
  mustMatchIssuer: boolean;
}

/** What the runner asks of one connection. */
export interface ShimFlags {
  readonly booleans: ReadonlySet<string>;
  readonly numbers: ReadonlyMap<string, number>;
  readonly lists: ReadonlyMap<string, readonly number[]>;
  readonly strings: ReadonlyMap<string, string>;
  readonly credentials: readonly CredentialFlags[];
}

/**
 * Reads the runner's command line for one connection of the test: 0 is the first, later ones are
 * resumptions.
 */
export function parseFlags(argv: readonly string[], connection: number): ShimFlags {
  const flags = {
    booleans: new Set<string>(),
    numbers: new Map<string, number>(),
    lists: new Map<string, number[]>(),
    strings: new Map<string, string>(),
    credentials: [{ signingPrefs: [], mustMatchIssuer: false }] as CredentialFlags[],
  };
  for (let at = 0; at < argv.length; at += 1) {
    const { name, applies } = prefixed(argv[at]!, connection);
    const kind = kinds[name];
    if (kind === undefined) throw new Unimplemented(`unknown flag -${name}`);
    const value = kind === 'boolean' || kind === 'new-credential' ? '' : argv[(at += 1)];
    if (value === undefined) throw new Unimplemented(`-${name} lacks its value`);
    if (applies) store(flags, name, kind, value);
  }
  return flags;
}

function prefixed(argument: string, connection: number): { name: string; applies: boolean } {
  const name = argument.replace(/^-/, '');
  if (name.startsWith('on-initial-')) return { name: name.slice(11), applies: connection === 0 };
  if (name.startsWith('on-resume-')) return { name: name.slice(10), applies: connection > 0 };
  if (name.startsWith('on-retry-')) return { name: name.slice(9), applies: false };
  return { name, applies: true };
}

function store(
  flags: {
    booleans: Set<string>;
    numbers: Map<string, number>;
    lists: Map<string, number[]>;
    strings: Map<string, string>;
    credentials: CredentialFlags[];
  },
  name: string,
  kind: Kind,
  value: string,
): void {
  const credential = flags.credentials.at(-1)!;
  switch (kind) {
    case 'boolean':
      if (name === 'must-match-issuer') credential.mustMatchIssuer = true;
      flags.booleans.add(name);
      return;
    case 'number':
      flags.numbers.set(name, Number(value));
      return;
    case 'list':
      flags.lists.set(name, [...(flags.lists.get(name) ?? []), Number(value)]);
      return;
    case 'string':
      flags.strings.set(name, value);
      return;
    case 'new-credential':
      flags.credentials.push({ signingPrefs: [], mustMatchIssuer: false });
      return;
    case 'certificate':
      credential.certFile = value;
      return;
    case 'key':
      credential.keyFile = value;
      return;
    case 'signing-pref':
      credential.signingPrefs.push(Number(value));
  }
}

type Kind =
  | 'boolean'
  | 'number'
  | 'list'
  | 'string'
  | 'new-credential'
  | 'certificate'
  | 'key'
  | 'signing-pref';

/** Every flag the shim knows; anything else is declined. */
const kinds: Readonly<Record<string, Kind | undefined>> = {
  port: 'number',
  'shim-id': 'string',
  ipv6: 'boolean',
  server: 'boolean',
  'resume-count': 'number',
  'cert-file': 'certificate',
  'key-file': 'key',
  'new-x509-credential': 'new-credential',
  'signing-prefs': 'signing-pref',
  'must-match-issuer': 'boolean',
  'trust-cert': 'string',
  'verify-prefs': 'list',
  curves: 'list',
  cipher: 'string',
  'min-version': 'number',
  'max-version': 'number',
  'no-tls1': 'boolean',
  'no-tls11': 'boolean',
  'no-tls12': 'boolean',
  'no-tls13': 'boolean',
  async: 'boolean',
  'implicit-handshake': 'boolean',
  'shim-writes-first': 'boolean',
  'shim-shuts-down': 'boolean',
  'check-close-notify': 'boolean',
  'verify-peer': 'boolean',
  'verify-peer-if-no-obc': 'boolean',
  'verify-fail': 'boolean',
  'use-custom-verify-callback': 'boolean',
  'reverify-on-resume': 'boolean',
  'expect-verify-result': 'boolean',
  'require-any-client-certificate': 'boolean',
  'use-old-client-cert-callback': 'boolean',
  'fail-cert-callback': 'boolean',
  'use-early-callback': 'boolean',
  'use-client-ca-list': 'string',
  'expect-client-ca-list': 'string',
  'available-client-cert-types': 'list',
  'expect-selected-credential': 'number',
  'expect-peer-signature-algorithm': 'number',
  // We always ask for a staple.
  'enable-ocsp-stapling': 'boolean',
  'expect-ocsp-response': 'string',
  'expect-peer-verify-pref': 'list',
  'expect-peer-cert-file': 'string',
  'expect-curve-id': 'number',
  'expect-session-miss': 'boolean',
  'expect-session-id': 'boolean',
  'expect-no-session-id': 'boolean',
  'expect-no-session': 'boolean',
  'expect-ticket-renewal': 'boolean',
  'expect-extended-master-secret': 'boolean',
  'expect-no-hrr': 'boolean',
  'expect-early-data-reason': 'string',
  'enable-early-data': 'boolean',
  'no-ticket': 'boolean',
  'ticket-key': 'string',
  'host-name': 'string',
  'expect-server-name': 'string',
  'no-server-name-ack': 'boolean',
  'advertise-alpn': 'string',
  'expect-alpn': 'string',
  'expect-advertised-alpn': 'string',
  'select-alpn': 'string',
  'decline-alpn': 'boolean',
  'reject-alpn': 'boolean',
  'select-empty-alpn': 'boolean',
  'allow-unknown-alpn-protos': 'boolean',
  'export-keying-material': 'number',
  'export-label': 'string',
  'export-context': 'string',
  'use-export-context': 'boolean',
  'renegotiate-ignore': 'boolean',
  'forbid-renegotiation-after-handshake': 'boolean',
  'no-legacy-server-connect': 'boolean',
  'no-op-extra-handshake': 'boolean',
  'read-size': 'number',
  'max-send-fragment': 'number',
};
