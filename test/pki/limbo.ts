import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Certificate,
  CertificateError,
  createTrustAnchors,
  CrlSet,
  matchesDnsName,
  matchesIpAddress,
  parseCertificate,
  parseCertificatePem,
  parseCrl,
  parsePem,
  verifyChain,
} from '../../src/pki/index.ts';

/**
 * Runs x509-limbo (https://x509-limbo.com), certificate chains made to break path validators, and
 * compares with the list of differences we know of, each with its reason. The cases are a file
 * `limbo-native.json.gz` in the directory the environment variable SIDEKEY_VECTORS names.
 */
export interface LimboReport {
  readonly passed: number;
  readonly failed: number;
  /** Cases that differ and are not in the list, or are in the list and do not differ, or cost too much. */
  readonly surprises: readonly string[];
  /** The case that took most of a processor. */
  readonly costliest: { readonly id: string; readonly milliseconds: number };
}

export function runLimbo(directory: string): LimboReport {
  const cases = readCases(join(directory, 'limbo-native.json.gz'));
  const surprises: string[] = [];
  let passed = 0;
  let costliest = { id: '', milliseconds: 0 };
  for (const limboCase of cases) {
    const { id } = limboCase;
    const start = process.cpuUsage();
    const { result, detail } = judge(limboCase);
    const { user, system } = process.cpuUsage(start);
    const milliseconds = (user + system) / 1000;
    if (milliseconds > costliest.milliseconds) costliest = { id, milliseconds };
    if (milliseconds > mostMilliseconds)
      surprises.push(`${id}: took ${milliseconds.toFixed(1)} ms`);
    const isRight = result === limboCase.expected_result;
    if (isRight) passed += 1;
    const isKnown = id in known;
    if (isRight === isKnown) surprises.push(`${id}: ${result}, ${detail}`);
  }
  const ids = new Set(cases.map(({ id }) => id));
  for (const id of Object.keys(known)) if (!ids.has(id)) surprises.push(`${id}: no such case`);
  return { passed, failed: cases.length - passed, surprises, costliest };
}

function judge(limboCase: LimboCase): { readonly result: string; readonly detail: string } {
  try {
    verify(limboCase);
    return { result: 'SUCCESS', detail: 'accepted' };
  } catch (error) {
    // Anything else is a crash, and ends the run.
    if (!(error instanceof CertificateError)) throw error;
    return { result: 'FAILURE', detail: `${error.reason}: ${error.message}` };
  }
}

function verify(limboCase: LimboCase): void {
  const { max_chain_depth: depth, expected_peer_name: peer, validation_time: time } = limboCase;
  const roots = limboCase.trusted_certs.flatMap(fromPem).map(parseCertificate);
  const crls = limboCase.crls.flatMap((pem) =>
    parsePem(Buffer.from(pem)).map(({ der }) => parseCrl(der)),
  );
  const { leaf } = verifyChain({
    certificates: [limboCase.peer_certificate, ...limboCase.untrusted_intermediates].flatMap(
      fromPem,
    ),
    anchors: createTrustAnchors(roots),
    now: time === null ? new Date() : new Date(time),
    purpose: limboCase.validation_kind === 'SERVER' ? 'server' : 'client',
    ...(crls.length > 0 ? { crls: new CrlSet(crls, { whenMissing: 'accept' }) } : {}),
    ...(depth === null ? {} : { budget: { intermediates: depth } }),
  });
  const peers = [...(peer === null ? [] : [peer]), ...limboCase.expected_peer_names];
  for (const { kind, value } of peers) {
    if (!isFor(leaf, kind, value)) {
      throw new CertificateError('bad_certificate', 'name_mismatch', `is not for ${kind} ${value}`);
    }
  }
}

function isFor(leaf: Certificate, kind: string, value: string): boolean {
  switch (kind) {
    case 'DNS':
      return matchesDnsName(leaf, value);
    case 'IP':
      return matchesIpAddress(leaf, value);
    case 'RFC822':
      return leaf.subjectAltNames.emailAddresses.includes(value);
    default:
      throw new TypeError(`unknown kind of name: ${kind}`);
  }
}

function fromPem(pem: string): readonly Uint8Array[] {
  return parseCertificatePem(Buffer.from(pem));
}

function readCases(file: string): readonly LimboCase[] {
  const document = JSON.parse(gunzipSync(readFileSync(file)).toString()) as {
    readonly testcases: readonly LimboCase[];
  };
  return document.testcases;
}

interface PeerName {
  readonly kind: string;
  readonly value: string;
}

interface LimboCase {
  readonly id: string;
  readonly validation_kind: 'SERVER' | 'CLIENT';
  readonly trusted_certs: readonly string[];
  readonly untrusted_intermediates: readonly string[];
  readonly peer_certificate: string;
  readonly validation_time: string | null;
  readonly expected_result: 'SUCCESS' | 'FAILURE';
  readonly expected_peer_name: PeerName | null;
  readonly expected_peer_names: readonly PeerName[];
  readonly max_chain_depth: number | null;
  readonly crls: readonly string[];
}

/** Of a processor: on a busy machine a clock counts what others do, too. */
const mostMilliseconds = 100;

const known = JSON.parse(
  readFileSync(new URL('limbo-known.json', import.meta.url), 'utf8'),
) as Readonly<Record<string, string>>;

function main(): void {
  const directory = process.env['SIDEKEY_VECTORS'];
  if (directory === undefined) {
    process.stdout.write('skipped: SIDEKEY_VECTORS does not name a directory with x509-limbo\n');
    process.stdout.write('limbo: 0 passed, 0 failed, 1 skipped\n');
    return;
  }
  const { passed, failed, surprises, costliest } = runLimbo(directory);
  for (const surprise of surprises) process.stdout.write(`surprise: ${surprise}\n`);
  process.stdout.write(`costliest: ${costliest.id}, ${costliest.milliseconds.toFixed(1)} ms\n`);
  process.stdout.write(`limbo: ${String(passed)} passed, ${String(failed)} failed, 0 skipped\n`);
  if (surprises.length > 0) process.exitCode = 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
