import { readdirSync, readFileSync } from 'node:fs';
import { CertificateError } from '../../../src/pki/certificate-error.ts';
import * as derWriter from '../../../src/pki/der-writer.ts';
import { BerValue, pkcs12Mac } from '../../../src/pki/forge.ts';
import { encodePem, parseCertificatePem, parsePem } from '../../../src/pki/pem.ts';
import { openPkcs12 } from '../../../src/pki/pkcs12.ts';
import { loadPrivateKey } from '../../../src/pki/private-key.ts';
import { parseSidecarConfig } from '../../../src/sidecar/config.ts';
import { ConfigurationError } from '../../../src/sidecar/configuration-error.ts';
import { derMutator } from '../der-mutator.ts';
import { byteMutator, either, type Mutator } from '../mutator.ts';
import { broken, isA, kindOf, mustEqual, valueOrError, type Target } from '../target.ts';

/** PEM files of certificates and keys. */
export const pem: Target = {
  name: 'pem',
  seeds: () => vectors('keys', '.pem').map(({ bytes }) => bytes),
  mutate: byteMutator(
    ['-----BEGIN ', '-----END ', 'CERTIFICATE-----', 'PRIVATE KEY-----', '\n', '='].map(text),
  ),
  check(input) {
    valueOrError(() => parseCertificatePem(input), isCertificateError);
    const key = valueOrError(() => loadPrivateKey(input), isCertificateError);
    const outcome = valueOrError(() => parsePem(input), isCertificateError);
    if ('error' in outcome) return withoutLabels(outcome.error);
    const written = Buffer.concat(outcome.value.map(({ label, der }) => encodePem(label, der)));
    const again = parsePem(written);
    if (again.length !== outcome.value.length) broken('written anew it has other blocks');
    for (const [index, { der }] of again.entries()) {
      mustEqual('written anew', der, outcome.value[index]?.der ?? new Uint8Array(0));
    }
    return `${String(Math.min(again.length, 3))} blocks, ${'error' in key ? withoutLabels(key.error) : 'a key'}`;
  },
};

/**
 * PKCS #12 files. The first byte says whether the rest is a file, or what its MAC covers: then a
 * right MAC is put around it, so that changes get past it.
 */
export const pkcs12: Target = {
  name: 'pkcs12',
  seeds: () => {
    const files = vectors('pkcs12', '.p12').map(({ bytes }) => bytes);
    return [
      ...files.map((file) => Buffer.concat([Uint8Array.of(0), file])),
      ...files.map((file) => Buffer.concat([Uint8Array.of(1), authenticatedSafe(file)])),
    ];
  },
  mutate: either(byteMutator(), afterFirstByte(derMutator)),
  check(input) {
    const content = input.subarray(1);
    const file = (input[0] ?? 0) % 2 === 0 ? content : withMac(content);
    const outcome = valueOrError(() => openPkcs12(file, passphrase), isCertificateError);
    if ('error' in outcome) return kindOf(outcome.error);
    return `opened, ${String(outcome.value.certificates.length)} certificates`;
  },
  // A file of our own operator may ask for some seconds of key derivation.
  maxCpuMs: 20_000,
};

/** Configuration files of the sidecar. */
export const configuration: Target = {
  name: 'configuration',
  seeds: () => configurations.map(text),
  mutate: byteMutator(
    [
      '- ',
      ': ',
      '\n  ',
      '[',
      '{',
      '&a ',
      '*a',
      '<<: *a',
      '!!binary ',
      '|\n',
      '"',
      "'",
      '? ',
      '~',
      '0x1f',
    ]
      .concat([
        '1e999',
        '__proto__: ',
        'constructor: ',
        '-1',
        '5s',
        'unix:',
        '---\n',
        '\u0000',
        '%YAML 1.2',
      ])
      .map(text),
  ),
  check(input) {
    const settings = valueOrError(
      () => parseSidecarConfig(Buffer.from(input).toString('utf8'), '/etc/sidekey/sidecar.yaml'),
      isA(ConfigurationError),
    );
    if ('value' in settings) return 'accepted';
    const { error } = settings;
    if (error.problems.length === 0 || error.message === '') broken('refused without a reason');
    return kindOf(error);
  },
};

function afterFirstByte(mutator: Mutator): Mutator {
  return (random, pool) =>
    Buffer.concat([
      Uint8Array.of(random.below(2)),
      mutator(
        random,
        pool.map((input) => input.subarray(1)),
      ),
    ]);
}

/* PFX ::= SEQUENCE { version INTEGER, authSafe SEQUENCE { OID, [0] OCTET STRING }, macData } */
function authenticatedSafe(file: Uint8Array): Uint8Array {
  const pfx = BerValue.parse(file).sequence();
  pfx.next();
  const authSafe = pfx.next().sequence();
  authSafe.next();
  return authSafe.next().explicit().octetString();
}

function withMac(content: Uint8Array): Uint8Array {
  const salt = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const mac = pkcs12Mac(content, 'secret1', { hash: 'sha256', salt, iterations: 1 });
  const data = derWriter.objectIdentifier('1.2.840.113549.1.7.1');
  const sha256 = derWriter.objectIdentifier('2.16.840.1.101.3.4.2.1');
  return derWriter.sequence(
    derWriter.integer(3),
    derWriter.sequence(data, derWriter.explicit(0, derWriter.octetString(content))),
    derWriter.sequence(
      derWriter.sequence(derWriter.sequence(sha256), derWriter.octetString(mac)),
      derWriter.octetString(salt),
      derWriter.integer(1),
    ),
  );
}

/** Labels of blocks are the file's own words. */
function withoutLabels(error: Error): string {
  return kindOf(error).replaceAll(/[A-Z0-9#]{2,}[A-Z0-9# ]*/gu, '#');
}

function vectors(folder: string, extension: string) {
  const directory = new URL(`../../vectors/${folder}/`, import.meta.url);
  return readdirSync(directory)
    .filter((name) => name.endsWith(extension))
    .sort()
    .map((name) => ({ name, bytes: readFileSync(new URL(name, directory)) }));
}

function text(value: string): Uint8Array {
  return Buffer.from(value, 'utf8');
}

const passphrase = text('secret1');
const isCertificateError = isA(CertificateError);

const configurations = [
  `listen:
  - address: unix:/run/sidekey/sidecar.sock
identities:
  web:
    certificate: web.pem
    privateKey: web.key
trust:
  bundle: roots.pem
`,
  `state: /var/lib/sidekey
listen:
  - address: unix:sidecar.sock
    mode: '0660'
    group: 1000
    allow:
      - uid: 1000
        identities: [web]
      - { gid: 33, identities: [web, db] }
  - address: '[::1]:9000'
    allow: [{ tokenFile: token, identities: [web] }]
identities:
  web: { certificate: web.pem, privateKey: web.key, default: true }
  db:
    certificate: db.pem
    privateKey: db.key
trust: { bundle: roots.pem }
tls:
  clientAuth: require
  handshakeTimeout: 500ms
  ticketLifetime: 10m
  cipherSuites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]
  namedGroups: [x25519]
limits: { handshakes: 10, callerShare: 0.5 }
admin: { address: 127.0.0.1:9001 }
log: { level: debug }
`,
];
