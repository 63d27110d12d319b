import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Outcome } from '../cell.ts';
import type { KeyName } from '../peer.ts';
import { findProgram, run, tail } from '../processes.ts';
import { suites } from '../suites.ts';
import { failed, passed } from './check.ts';
import type { Bench, Check } from './check.ts';

const heading = 'scanners on our server';

/** What public scanners say about `serve`: TLS 1.2 only, ECDHE and AEAD only, no surprises. */
export const scannerChecks: readonly Check[] = (['ecdsa', 'rsa'] as const).flatMap((key) => [
  {
    heading,
    name: `testssl, ${key} key`,
    notForControl: 'node:tls lets clients renegotiate',
    run: (bench: Bench) => runTestssl(bench, key),
  },
  {
    heading,
    name: `nmap ssl-enum-ciphers, ${key} key`,
    needs: ['nmap'],
    run: (bench: Bench) => runNmap(bench, key),
  },
]);

async function runNmap(bench: Bench, key: KeyName): Promise<Outcome> {
  const server = await bench.server({ key, clientCertificate: false });
  const { text } = await run(
    'nmap',
    ['-Pn', '-p', String(server.port), '--script', 'ssl-enum-ciphers', '127.0.0.1'],
    { timeoutMs: 60_000 },
  );
  const versions = [...text.matchAll(/^\|\s+((?:TLS|SSL)v\S+): *$/gm)].map((match) => match[1]);
  if (versions.join() !== 'TLSv1.2') return failed(`nmap finds versions ${versions.join()}`);
  const found = [...text.matchAll(/^\|\s+(TLS_\S+) .* - (\S)$/gm)];
  const authentication = key === 'rsa' ? 'RSA' : 'ECDSA';
  const expected = suites.filter((suite) => suite.authentication === authentication);
  const names = found.map((match) => match[1] ?? '');
  if (
    names.toSorted().join() !==
    expected
      .map(({ iana }) => iana)
      .toSorted()
      .join()
  ) {
    return failed(`nmap finds suites ${names.join()}`);
  }
  if (found.some((match) => match[2] !== 'A')) return failed(`nmap grades ${tail(text)}`);
  return text.includes('warnings:') ? failed(`nmap warns: ${tail(text)}`) : passed;
}

async function runTestssl(bench: Bench, key: KeyName): Promise<Outcome> {
  const program = findProgram('testssl') ?? findProgram('testssl.sh');
  if (program === undefined) return { status: 'skipped', why: 'no testssl program' };
  const server = await bench.server({ key, clientCertificate: false });
  const file = path.join(bench.fixture.directory, `testssl-${key}.json`);
  const { text } = await run(
    program,
    [
      ...['--quiet', '--color', '0', '--warnings', 'off', '-p', '-S', '-P', '-U'],
      ...['--jsonfile', file, `127.0.0.1:${String(server.port)}`],
    ],
    // Without a name server it would wait for one.
    { timeoutMs: 240_000, environment: { NODNS: 'min' } },
  );
  const findings = readFindings(file);
  if (findings.length < 40) return failed(`testssl did not finish: ${tail(text)}`);
  const say = (id: string): string => findings.find((finding) => finding.id === id)?.finding ?? '';
  for (const id of ['SSLv2', 'SSLv3', 'TLS1', 'TLS1_1']) {
    if (say(id) !== 'not offered') return failed(`testssl says of ${id}: ${say(id)}`);
  }
  if (say('TLS1_2') !== 'offered') return failed(`testssl says of TLS1_2: ${say('TLS1_2')}`);
  const warnings = findings.filter(
    ({ id, severity }) => !harmless.has(severity) && !explained.has(id),
  );
  if (warnings.length === 0) return passed;
  return failed(
    warnings.map(({ id, severity, finding }) => `${severity} ${id}: ${finding}`).join('; '),
  );
}

interface Finding {
  readonly id: string;
  readonly severity: string;
  readonly finding: string;
}

function readFindings(file: string): readonly Finding[] {
  const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'));
  if (!Array.isArray(parsed)) throw new Error('testssl wrote no list');
  return parsed.filter(isFinding);
}

function isFinding(value: unknown): value is Finding {
  return typeof value === 'object' && value !== null && 'id' in value && 'severity' in value;
}

const harmless: ReadonlySet<string> = new Set(['OK', 'INFO']);

/** Findings of testssl that are about the test's surroundings, each with its reason. */
const explained: ReadonlyMap<string, string> = new Map([
  ['cert_chain_of_trust', 'the root is made for this run: no browser knows it'],
  ['cert_expirationStatus', 'certificates of this run live a day'],
  ['cert_notAfter', 'certificates of this run live a day'],
  ['cert_revocation', 'no CRL or OCSP address: revocations travel in a feed of our own'],
  ['DNS_CAArecord', 'a loopback address has no CAA record'],
  ['engine_problem', 'about the OpenSSL testssl itself uses'],
]);
