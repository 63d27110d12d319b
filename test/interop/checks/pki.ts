import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateKeyPair } from '../../../src/crypto/key-generation.ts';
import type { KeyKind } from '../../../src/crypto/keys.ts';
import {
  CertificateError,
  createCertificateRequest,
  createTrustAnchors,
  CrlSet,
  encodePem,
  exportPkcs8Pem,
  issueCrl,
  loadPrivateKey,
  openPkcs12,
  parseCertificate,
  parseCertificatePem,
  parseCertificateRequest,
  parseCrl,
  parsePem,
  stapleStatus,
  verifyChain,
} from '../../../src/pki/index.ts';
import { createTestCa, type TestCa, writeIdentity } from '../../support/test-ca.ts';
import type { Outcome } from '../cell.ts';
import { findProgram, run } from '../processes.ts';
import { type Check, failed, passed } from './check.ts';

const kinds: readonly KeyKind[] = ['ecdsa-p256', 'ecdsa-p384', 'ed25519', 'rsa', 'rsa-pss'];

/** What we write, read by OpenSSL; what others write, read by us. */
export const pkiChecks: readonly Check[] = [
  ...kinds.map((kind) =>
    check('what we write, OpenSSL reads', kind, ['openssl'], (directory) =>
      opensslReadsOurs(directory, kind),
    ),
  ),
  ...kinds.map((kind) =>
    check('what OpenSSL writes, we read', kind, ['openssl'], (directory) =>
      weReadOpenssl(directory, kind),
    ),
  ),
  check('PKCS #12 of others', 'OpenSSL', ['openssl'], (directory) => openPackage(directory, [])),
  check('PKCS #12 of others', 'NSS', ['openssl', 'certutil', 'pk12util'], (directory) =>
    openPackage(directory, [
      ['certutil', '-N', '-d', 'sql:.', '--empty-password'],
      ['pk12util', '-i', 'openssl.p12', '-d', 'sql:.', '-w', 'passphrase'],
      ['pk12util', '-o', 'last.p12', '-n', 'me', '-d', 'sql:.', '-w', 'passphrase'],
    ]),
  ),
  check('PKCS #12 of others', 'Java', ['openssl', 'keytool'], (directory) =>
    openPackage(directory, [
      [
        'keytool',
        '-importkeystore',
        '-srckeystore',
        'openssl.p12',
        '-srcstorepass',
        'secret1',
        '-destkeystore',
        'last.p12',
        '-deststoretype',
        'pkcs12',
        '-deststorepass',
        'secret1',
      ],
    ]),
  ),
  check('PKCS #12 of others', 'GnuTLS', ['openssl', 'certtool'], (directory) =>
    openPackage(directory, [
      [
        'certtool',
        '--load-privkey',
        'me.key',
        '--load-certificate',
        'me.pem',
        '--to-p12',
        '--p12-name',
        'me',
        '--password',
        'secret1',
        '--outder',
        '--outfile',
        'last.p12',
      ],
    ]),
  ),
];

function check(
  heading: string,
  name: string,
  programs: readonly string[],
  body: (directory: string) => Promise<Outcome>,
): Check {
  return {
    heading,
    name,
    run: async () => {
      const missing = programs.find((program) => findProgram(program) === undefined);
      if (missing !== undefined) return { status: 'skipped', why: `no ${missing} here` };
      const directory = mkdtempSync(join(tmpdir(), 'sidekey-pki-'));
      try {
        return await body(directory);
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    },
  };
}

async function opensslReadsOurs(directory: string, kind: KeyKind): Promise<Outcome> {
  const ca = createTestCa({ keyKind: kind });
  const issued = ca.issue({ keyKind: kind, dnsNames: ['a.test'], intermediate: true });
  const pair = generateKeyPair(kind);
  const request = createCertificateRequest({ ...pair, subjectAltNames: { dnsNames: ['a.test'] } });
  write(directory, 'root.pem', ca.pem);
  write(directory, 'chain.pem', issued.certificatePem);
  write(directory, 'leaf.key', issued.privateKeyPem);
  write(directory, 'request.pem', encodePem('CERTIFICATE REQUEST', request));
  write(directory, 'crl.pem', encodePem('X509 CRL', emptyCrl(ca)));
  return await all(directory, [
    [
      'openssl',
      'verify',
      '-x509_strict',
      '-purpose',
      'sslserver',
      '-verify_hostname',
      'a.test',
      '-CAfile',
      'root.pem',
      '-untrusted',
      'chain.pem',
      'chain.pem',
    ],
    ['openssl', 'pkey', '-in', 'leaf.key', '-check', '-noout'],
    ['openssl', 'req', '-verify', '-noout', '-in', 'request.pem'],
    ['openssl', 'crl', '-noout', '-CAfile', 'root.pem', '-in', 'crl.pem'],
  ]);
}

async function weReadOpenssl(directory: string, kind: KeyKind): Promise<Outcome> {
  write(directory, 'openssl.cnf', opensslConfiguration);
  write(directory, 'index.txt', '');
  write(directory, 'crlnumber', '1000\n');
  // OpenSSL would make the salt as long as fits; TLS and we want that of the hash.
  const options = kind === 'rsa-pss' ? ['-sigopt', 'rsa_pss_saltlen:-1'] : [];
  const key = (name: string) => ['openssl', 'genpkey', ...genpkey[kind], '-out', name];
  const authority = ['openssl', 'ca', '-config', 'openssl.cnf', '-keyfile', 'root.key'];
  authority.push('-cert', 'root.pem');
  const staple = (name: string, more: readonly string[]) => [
    'openssl',
    'ocsp',
    '-index',
    'index.txt',
    '-CA',
    'root.pem',
    '-rsigner',
    'root.pem',
    '-rkey',
    'root.key',
    '-issuer',
    'root.pem',
    ...more,
    '-cert',
    'leaf.pem',
    ...(kind === 'rsa-pss' ? ['-rsigopt', 'rsa_pss_saltlen:-1'] : []),
    '-ndays',
    '1',
    '-noverify',
    '-respout',
    name,
  ];
  const outcome = await all(directory, [
    key('root.key'),
    key('leaf.key'),
    [
      'openssl',
      'req',
      ...options,
      '-x509',
      '-new',
      '-key',
      'root.key',
      '-subj',
      '/CN=root',
      '-days',
      '2',
      '-config',
      'openssl.cnf',
      '-extensions',
      'root',
      '-out',
      'root.pem',
    ],
    [
      'openssl',
      'req',
      ...options,
      '-new',
      '-key',
      'leaf.key',
      '-subj',
      '/O=Acme/CN=leaf',
      '-config',
      'openssl.cnf',
      '-addext',
      'subjectAltName=DNS:wish.test',
      '-out',
      'request.pem',
    ],
    [
      'openssl',
      'x509',
      ...options,
      '-req',
      '-in',
      'request.pem',
      '-CA',
      'root.pem',
      '-CAkey',
      'root.key',
      '-CAcreateserial',
      '-days',
      '1',
      '-extfile',
      'openssl.cnf',
      '-extensions',
      'leaf',
      '-out',
      'leaf.pem',
    ],
    [...authority, '-valid', 'leaf.pem'],
    staple('good.der', ['-sha256']),
    [...authority, '-revoke', 'leaf.pem'],
    staple('revoked.der', ['-resp_key_id']),
    [...authority, '-gencrl', ...options, '-crldays', '1', '-out', 'crl.pem'],
  ]);
  return outcome.status === 'passed' ? readBack(directory) : outcome;
}

function readBack(directory: string): Outcome {
  const certificate = (name: string) =>
    parseCertificatePem(read(directory, name)).map((der) => parseCertificate(der));
  const block = (name: string) => parsePem(read(directory, name))[0]?.der ?? new Uint8Array();
  const [leaf] = certificate('leaf.pem');
  if (leaf === undefined) return failed('no leaf');
  const options = {
    certificates: [leaf.der],
    anchors: createTrustAnchors(certificate('root.pem')),
    now: new Date(),
    purpose: 'server',
  } as const;
  verifyChain(options);
  const request = parseCertificateRequest(block('request.pem'));
  if (!request.publicKey.equals(leaf.publicKey)) return failed('the request has another key');
  if (request.subjectAltNames.dnsNames[0] !== 'wish.test')
    return failed('the request lost its name');
  const exported = Buffer.from(exportPkcs8Pem(loadPrivateKey(read(directory, 'leaf.key'))));
  if (!exported.equals(read(directory, 'leaf.key'))) return failed('the key is written otherwise');
  const [issuer] = options.anchors.certificates;
  if (issuer === undefined) return failed('no root');
  for (const status of ['good', 'revoked'] as const) {
    const response = read(directory, `${status}.der`);
    const { tag } = stapleStatus({ response, leaf, issuer, now: options.now });
    if (tag !== status) return failed(`OpenSSL's OCSP response says ${status}, we say ${tag}`);
  }
  const crls = new CrlSet([parseCrl(block('crl.pem'))], { whenMissing: 'refuse' });
  try {
    verifyChain({ ...options, crls });
  } catch (error) {
    if (error instanceof CertificateError && error.reason === 'certificate_revoked') return passed;
    throw error;
  }
  return failed('the revoked certificate was accepted');
}

async function openPackage(
  directory: string,
  commands: readonly (readonly string[])[],
): Promise<Outcome> {
  const issued = createTestCa().issue({ dnsNames: ['a.test'], intermediate: true });
  writeIdentity(directory, 'me', issued);
  write(directory, 'passphrase', 'secret1\n');
  const outcome = await all(directory, [
    [
      'openssl',
      'pkcs12',
      '-export',
      '-in',
      'me.pem',
      '-inkey',
      'me.key',
      '-name',
      'me',
      '-passout',
      'pass:secret1',
      '-out',
      'openssl.p12',
    ],
    ...commands,
  ]);
  if (outcome.status !== 'passed') return outcome;
  const file = read(directory, commands.length === 0 ? 'openssl.p12' : 'last.p12');
  const { privateKey, certificates } = openPkcs12(file, Buffer.from('secret1'));
  if (!privateKey.equals(issued.privateKey)) return failed('another key came out');
  const found = issued.chain.filter((der) =>
    certificates.some((each) => Buffer.compare(each, der) === 0),
  );
  return found.length === issued.chain.length ? passed : failed('certificates are missing');
}

function emptyCrl(ca: TestCa): Uint8Array {
  const now = Date.now();
  return issueCrl({
    issuer: { certificate: ca.parsed, privateKey: ca.privateKey },
    crlNumber: 1n,
    thisUpdate: new Date(now - 60_000),
    nextUpdate: new Date(now + 3_600_000),
    revoked: [
      { serialNumber: Uint8Array.of(0x99), revokedAt: new Date(now), reason: 'superseded' },
    ],
  });
}

/** Runs commands one after the other; the first that fails is the outcome. */
async function all(directory: string, commands: readonly (readonly string[])[]): Promise<Outcome> {
  for (const [program = '', ...args] of commands) {
    const { code, text } = await run(program, args, { directory, timeoutMs: 60_000 });
    // `openssl crl` says so in words only.
    if (code !== 0 || /verify failure|verify error/i.test(text)) {
      return failed(`${[program, ...args.slice(0, 2)].join(' ')}: ${text.trim().slice(-300)}`);
    }
  }
  return passed;
}

function write(directory: string, name: string, content: Uint8Array | string): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, name), content);
}

function read(directory: string, name: string): Buffer {
  return readFileSync(join(directory, name));
}

const genpkey: Readonly<Record<KeyKind, readonly string[]>> = {
  'ecdsa-p256': ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  'ecdsa-p384': ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384'],
  ed25519: ['-algorithm', 'ED25519'],
  rsa: ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'],
  'rsa-pss': ['-algorithm', 'RSA-PSS', '-pkeyopt', 'rsa_keygen_bits:2048'],
};

const opensslConfiguration = `
[req]
distinguished_name = dn
prompt = no
[dn]
CN = unused
[ca]
default_ca = ours
[root]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:a.test
authorityKeyIdentifier = keyid
[ours]
database = index.txt
crlnumber = crlnumber
default_md = default
crl_extensions = crl
[crl]
authorityKeyIdentifier = keyid
`;
