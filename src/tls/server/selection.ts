import { TlsAlertError } from '../alert.ts';
import type { CipherSuite } from '../cipher-suites.ts';
import type { Credential, ServerConfig } from '../config.ts';
import type { ClientExtensions } from '../extensions/client-extensions.ts';
import type { ClientHello } from '../messages/client-hello.ts';
import { groupOfKey, suiteAuthentication } from '../peer-authentication.ts';
import { NamedGroup, type SignatureScheme } from '../registries.ts';
import { signingScheme } from '../signing-scheme.ts';

/** What our server does with an offer. */
export interface Selection {
  readonly credential: Credential;
  readonly cipherSuite: CipherSuite;
  readonly group: NamedGroup;
  readonly scheme: SignatureScheme;
}

/**
 * Chooses all parameters of a full handshake; depends on nothing but its arguments.
 *
 * Of the credentials for the name asked for, one whose whole chain the client can verify is preferred
 * (RFC 5246 §7.4.2, but a client may know better than its list says); then the order of the
 * configuration counts. Throws `handshake_failure` when nothing is in common, and what
 * {@link credentialsForName} throws.
 */
export function select(config: ServerConfig, hello: ClientHello): Selection {
  const group = selectGroup(config, hello.extensions);
  const candidates = credentialsForName(config, hello.extensions.serverName);
  const verifiable = candidates.filter((candidate) => isVerifiable(candidate, hello.extensions));
  for (const credential of new Set([...verifiable, ...candidates])) {
    const scheme = signingScheme(credential, hello.extensions.signatureAlgorithms);
    const cipherSuite = suiteFor(credential, config, hello);
    if (scheme !== undefined && cipherSuite !== undefined) {
      return { credential, cipherSuite, group, scheme };
    }
  }
  throw new TlsAlertError(
    'handshake_failure',
    'no common cipher suite and signature scheme for any credential',
    'no_common_parameters',
  );
}

/**
 * The credentials that may be shown to who asks for `name`
 * ({@link https://www.rfc-editor.org/rfc/rfc6066#section-3 | RFC 6066 §3}). Throws `unrecognized_name`
 * where the configuration refuses names of nobody.
 */
export function credentialsForName(
  { credentials, unknownServerName }: ServerConfig,
  name: string | undefined,
): readonly Credential[] {
  if (name === undefined) return credentials;
  const named = credentials.filter((credential) => credential.matchesServerName(name));
  if (named.length > 0) return named;
  if (unknownServerName === 'default') return credentials;
  throw new TlsAlertError('unrecognized_name', 'no credential for the server name asked for');
}

/**
 * Our preference among the client's protocols
 * ({@link https://www.rfc-editor.org/rfc/rfc7301#section-3.2 | RFC 7301 §3.2}). Throws
 * `no_application_protocol` when there is none in common, or none at all where one is required.
 */
export function selectApplicationProtocol(
  { applicationProtocols, requireApplicationProtocol }: ServerConfig,
  extensions: ClientExtensions,
): string | undefined {
  if (applicationProtocols.length === 0) return undefined;
  const offered = extensions.applicationProtocols;
  if (offered === undefined && !requireApplicationProtocol) return undefined;
  const chosen = applicationProtocols.find((name) => offered?.includes(name));
  if (chosen === undefined) {
    throw new TlsAlertError('no_application_protocol', 'no common application protocol');
  }
  return chosen;
}

/** Without supported_groups the choice is ours (RFC 8422 §4); everyone knows P-256. */
function selectGroup({ namedGroups }: ServerConfig, extensions: ClientExtensions): NamedGroup {
  const offered = extensions.supportedGroups ?? [NamedGroup.secp256r1];
  const group = namedGroups.find((candidate) => offered.includes(candidate));
  if (group === undefined) {
    throw new TlsAlertError('handshake_failure', 'no common group', 'no_common_group');
  }
  return group;
}

function suiteFor(
  { keyKind }: Credential,
  config: ServerConfig,
  { cipherSuites, extensions }: ClientHello,
): CipherSuite | undefined {
  const curve = groupOfKey(keyKind);
  const { supportedGroups } = extensions;
  // RFC 8422 §5.3: the client must know the curve of the key as well.
  if (curve !== undefined && supportedGroups?.includes(curve) === false) return undefined;
  const authentication = suiteAuthentication(keyKind);
  const common = config.cipherSuites.filter(
    (suite) => suite.authentication === authentication && cipherSuites.includes(suite.code),
  );
  // Whoever puts ChaCha20 first has no AES instructions, which costs it more than it costs us.
  const [clientFirst] = cipherSuites.filter((code) =>
    config.cipherSuites.some((suite) => suite.code === code),
  );
  const chacha = common.find(({ aead }) => aead === 'chacha20-poly1305');
  const wantsChacha = config.cipherSuites.some(
    ({ code, aead }) => code === clientFirst && aead === 'chacha20-poly1305',
  );
  return wantsChacha && chacha !== undefined ? chacha : common[0];
}

function isVerifiable(
  { chainSchemes }: Credential,
  { signatureAlgorithms, signatureAlgorithmsCert }: ClientExtensions,
): boolean {
  const accepted = signatureAlgorithmsCert ?? signatureAlgorithms;
  return chainSchemes.every((scheme) => accepted?.includes(scheme));
}
