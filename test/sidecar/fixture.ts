import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Logger, pino } from 'pino';
import {
  type BootstrapSource,
  type CredentialSource,
  parseSidecarConfig,
  type Sidecar,
  startSidecar,
} from '../../src/sidecar/index.ts';
import { createTestCa, type IssueOptions, type TestCa, writeIdentity } from '../support/test-ca.ts';

/** One line of the sidecar's log. */
export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface TestSidecar {
  readonly sidecar: Sidecar;
  readonly address: string;
  readonly directory: string;
  readonly ca: TestCa;
  readonly log: readonly LogLine[];
  /** Value of a metric, by its name and labels as Prometheus prints them; absent reads as 0. */
  metric(line: string): Promise<number>;
  close(): Promise<void>;
}

export interface TestSidecarOptions {
  readonly identities?: Readonly<Record<string, IssueOptions>>;
  readonly defaultIdentity?: string;
  /** Identities that are enrolled. */
  readonly sources?: Readonly<Record<string, CredentialSource>>;
  /** Bootstrap identities: each by its settings in YAML besides `selfSigned`. */
  readonly bootstraps?: Readonly<
    Record<string, { readonly source: BootstrapSource; readonly settings: string }>
  >;
  /** YAML below the settings the fixture writes itself. */
  readonly extra?: string;
  /** YAML of the `allow` list of the one listener. */
  readonly allow?: string;
  readonly ca?: TestCa;
  /** YAML of the section `trust`. */
  readonly staleTrust?: string;
  readonly now?: () => Date;
  /** User of all callers; absent: whoever they are. */
  readonly callerUid?: () => number;
  readonly prepare?: (directory: string) => void;
}

/** A sidecar in a directory of its own, with identities of a throw-away CA. */
export async function startTestSidecar(options: TestSidecarOptions = {}): Promise<TestSidecar> {
  const directory = mkdtempSync(join(tmpdir(), 'sidekey-test-'));
  const ca = options.ca ?? createTestCa();
  const identities =
    options.identities ?? (options.sources === undefined ? { web: webIdentity } : {});
  for (const [name, request] of Object.entries(identities)) {
    writeIdentity(directory, name, ca.issue(request));
  }
  writeFileSync(join(directory, 'roots.pem'), ca.pem);
  options.prepare?.(directory);
  const text = configText(Object.keys(identities), options);
  const { log, lines } = memoryLog();
  const { callerUid } = options;
  const config = parseSidecarConfig(text, join(directory, 'sidecar.yaml'));
  const sidecar = await startSidecar(config, {
    log,
    sources: new Map(Object.entries(options.sources ?? {})),
    bootstraps: new Map(
      Object.entries(options.bootstraps ?? {}).map(([name, { source }]) => [name, source]),
    ),
    ...(options.now === undefined ? {} : { now: options.now }),
    ...(callerUid === undefined
      ? {}
      : { readCredentials: () => ({ uid: callerUid(), gid: callerUid(), pid: 1 }) }),
  });
  return {
    sidecar,
    address: sidecar.address,
    directory,
    ca,
    log: lines,
    metric: async (line) => {
      const response = await fetch(`http://${sidecar.adminAddress ?? ''}/metrics`);
      return metricOf(await response.text(), line);
    },
    close: async () => {
      await sidecar.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A logger that keeps what it is told, all levels. */
export function memoryLog(): { readonly log: Logger; readonly lines: readonly LogLine[] } {
  const lines: LogLine[] = [];
  const log = pino(
    { level: 'trace' },
    { write: (line: string) => lines.push(JSON.parse(line) as LogLine) },
  );
  return { log, lines };
}

export const webIdentity: IssueOptions = {
  dnsNames: ['web.example.org'],
  uris: ['spiffe://example.org/service/web'],
};

function configText(names: readonly string[], options: TestSidecarOptions): string {
  const identities = names
    .map(
      (name) =>
        `  ${name}: { certificate: ./${name}.pem, privateKey: ./${name}.key, default: ${String(name === (options.defaultIdentity ?? names[0]))} }\n`,
    )
    .concat(Object.keys(options.sources ?? {}).map((name) => `  ${name}: { enrolled: true }\n`))
    .concat(
      Object.entries(options.bootstraps ?? {}).map(
        ([name, { settings }]) => `  ${name}: { selfSigned: true, ${settings} }\n`,
      ),
    )
    .join('');
  return (
    `listen:\n  - address: unix:./s.sock\n    allow: ${options.allow ?? '[]'}\n` +
    `identities:\n${identities}trust: ${options.staleTrust ?? '{ bundle: ./roots.pem }'}\nadmin: { address: 127.0.0.1:0 }\n` +
    (options.extra ?? '')
  );
}

function metricOf(text: string, line: string): number {
  for (const candidate of text.split('\n')) {
    if (candidate.startsWith(`${line} `)) return Number(candidate.slice(line.length + 1));
  }
  return 0;
}
