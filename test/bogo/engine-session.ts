import { createHash, randomBytes, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { generateKeyShare } from '../../src/crypto/key-exchange.ts';
import { signSync } from '../../src/crypto/signatures.ts';
import { CertificateError, parseCertificate } from '../../src/pki/index.ts';
import { cipherSuites } from '../../src/tls/cipher-suites.ts';
import type {
  ChainVerdict,
  ClientConfig,
  ClientSession,
  ExporterRequest,
  HandshakeConfig,
  ServerConfig,
  SignAction,
  VerifyChainAction,
} from '../../src/tls/config.ts';
import { NamedGroup, SignatureScheme } from '../../src/tls/registries.ts';
import { TicketKeys } from '../../src/tls/tickets.ts';
import { knownScheme, readCredentials, type ShimCredential } from './credentials.ts';
import { type ShimFlags, Unimplemented } from './flags.ts';

/** What outlives one connection of a test: the client's session, the server's ticket keys. */
export class ShimMemory {
  session: ClientSession | undefined;
  readonly tickets = new TicketKeys({
    now: () => new Date(),
    random: (length) => randomBytes(length),
    lifetimeSeconds: 3600,
    keyLifetimeSeconds: 7200,
  });
}

/** Configuration and answers of one connection, made from the runner's flags. */
export class ShimConnectionConfig {
  readonly credentials: readonly ShimCredential[];
  readonly #flags: ShimFlags;

  constructor(flags: ShimFlags) {
    this.#flags = flags;
    this.credentials = readCredentials(flags);
    const max = flags.numbers.get('max-version') ?? 0x0303;
    const min = flags.numbers.get('min-version') ?? 0x0303;
    if (max < 0x0303 || min > 0x0303) throw new Unimplemented('a version other than TLS 1.2');
  }

  client(memory: ShimMemory): ClientConfig {
    const { booleans, strings } = this.#flags;
    const serverName = strings.get('host-name');
    // A driver checks a session before it offers it: here is where one is verified again.
    const refused = booleans.has('reverify-on-resume') && booleans.has('verify-fail');
    const session = refused || booleans.has('no-ticket') ? undefined : memory.session;
    return {
      ...this.#common(wireProtocols(strings.get('advertise-alpn') ?? '')),
      role: 'client',
      credentials: this.#offered(),
      requireCredential: this.#offered().length > 0,
      requireRenegotiationInfo: booleans.has('no-legacy-server-connect'),
      sessionTickets: !booleans.has('no-ticket'),
      ...(serverName === undefined ? {} : { serverName }),
      ...(session === undefined ? {} : { session }),
    };
  }

  server(memory: ShimMemory): ServerConfig {
    const { booleans, strings } = this.#flags;
    return {
      ...this.#common(serverProtocols(this.#flags)),
      role: 'server',
      credentials: this.#offered(),
      unknownServerName: 'default',
      clientAuth: booleans.has('require-any-client-certificate')
        ? 'require'
        : booleans.has('verify-peer')
          ? 'request'
          : 'none',
      certificateAuthorities: clientCaList(strings.get('use-client-ca-list')),
      requireApplicationProtocol: false,
      sessionContext: new Uint8Array(0),
      ...(booleans.has('no-ticket') ? {} : { tickets: memory.tickets }),
    };
  }

  /** What a failing certificate callback would look like from outside: nothing to show. */
  #offered(): ServerConfig['credentials'] {
    return this.#flags.booleans.has('fail-cert-callback')
      ? []
      : this.credentials.map(({ credential }) => credential);
  }

  sign({ credential, scheme, content }: SignAction): Uint8Array {
    const found = this.credentials.find(({ index }) => String(index) === credential.name)!;
    return signSync(found.privateKey, scheme, content);
  }

  verify({ certificates, resumed, stapledOcsp }: VerifyChainAction): ChainVerdict {
    const { booleans, strings } = this.#flags;
    const staple = strings.get('expect-ocsp-response');
    if (staple !== undefined && staple !== Buffer.from(stapledOcsp ?? []).toString('base64')) {
      throw new Error('another staple than expected');
    }
    if (booleans.has('verify-fail') && (!resumed || booleans.has('reverify-on-resume'))) {
      const alert = booleans.has('use-custom-verify-callback')
        ? 'certificate_unknown'
        : 'handshake_failure';
      return { ok: false, alert, reason: 'verify_failed', message: 'told to refuse' };
    }
    try {
      const leaf = parseCertificate(certificates[0]!);
      const trusted = strings.get('trust-cert');
      if (trusted !== undefined && !booleans.has('use-custom-verify-callback')) {
        checkSignatures(certificates, readFileSync(trusted));
      }
      if (leaf.keyUsage?.includes('digitalSignature') === false) {
        throw new CertificateError('unsupported_certificate', 'key_usage', 'not for signatures');
      }
      const { keyKind, publicKey } = leaf;
      if (keyKind === undefined)
        throw new CertificateError('unsupported_certificate', 'unsupported_key', 'kind of key');
      return { ok: true, publicKey, keyKind };
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      const { alert, reason, message } = error;
      return { ok: false, alert, reason, message };
    }
  }

  #common(applicationProtocols: readonly string[]): HandshakeConfig {
    const { lists, numbers, strings, booleans } = this.#flags;
    const curves = lists.get('curves');
    const verifyPrefs = lists.get('verify-prefs');
    const exporter = numbers.get('export-keying-material');
    return {
      random: (length) => randomBytes(length),
      generateKeyShare,
      now: () => new Date(),
      cipherSuites: suitesOf(strings.get('cipher')),
      namedGroups: curves === undefined ? defaultGroups : curves.flatMap(knownGroup),
      signatureSchemes:
        verifyPrefs === undefined
          ? Object.values(SignatureScheme)
          : verifyPrefs.flatMap(knownScheme),
      applicationProtocols,
      requireExtendedMasterSecret: false,
      exporters: exporter === undefined ? [] : [exporterOf(exporter, strings, booleans)],
    };
  }
}

export function exporterOf(
  length: number,
  strings: ReadonlyMap<string, string>,
  booleans: ReadonlySet<string>,
): ExporterRequest {
  const label = strings.get('export-label') ?? '';
  const context = booleans.has('use-export-context')
    ? { context: Buffer.from(strings.get('export-context') ?? '', 'latin1') }
    : {};
  return { label, length, ...context };
}

/**
 * The runner's certificates are chains of signatures and not much else (no critical names, no
 * purposes), so our path rules would refuse them: the suite for those is another.
 */
function checkSignatures(certificates: readonly Uint8Array[], trusted: Buffer): void {
  const path = [
    ...certificates.map((der) => new X509Certificate(der)),
    new X509Certificate(trusted),
  ];
  for (const [at, certificate] of path.slice(0, -1).entries()) {
    if (certificate.raw.equals(path.at(-1)!.raw)) return;
    if (!certificate.verify(path[at + 1]!.publicKey)) {
      throw new CertificateError(
        'unknown_ca',
        'unknown_issuer',
        'no path to the trusted certificate',
      );
    }
  }
}

/** What a server is told to select, and nothing else. */
export function serverProtocols({ strings, booleans }: ShimFlags): string[] {
  const select = strings.get('select-alpn');
  const protocols = booleans.has('reject-alpn') ? ['no such protocol'] : [];
  return select === undefined ? protocols : [select];
}

/** The runner's ALPN lists are in wire form. */
export function wireProtocols(list: string): string[] {
  const bytes = Buffer.from(list, 'latin1');
  const names: string[] = [];
  for (let at = 0; at < bytes.length; at += 1 + bytes[at]!) {
    names.push(bytes.toString('latin1', at + 1, at + 1 + bytes[at]!));
  }
  return names;
}

export function clientCaList(list: string | undefined): Uint8Array[] {
  if (list === undefined || list === '<NULL>' || list === '<EMPTY>') return [];
  return list.split(',').map((name) => Buffer.from(name, 'hex'));
}

export function fingerprint(certificate: Uint8Array): string {
  return createHash('sha256').update(certificate).digest('hex');
}

/** OpenSSL's suite lists; groups of equal preference are flattened. */
function suitesOf(list: string | undefined): HandshakeConfig['cipherSuites'] {
  if (list === undefined) return cipherSuites;
  const names = list.split(/[:[\]|]/);
  return names.flatMap((name) => cipherSuites.filter((suite) => suite.name === name));
}

function knownGroup(code: number): NamedGroup[] {
  return Object.values(NamedGroup).filter((group) => group === code);
}

const defaultGroups = [NamedGroup.x25519, NamedGroup.secp256r1, NamedGroup.secp384r1];
