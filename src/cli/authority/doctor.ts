import { connect } from 'node:net';
import {
  AdministrationServiceService as Administration,
  type Finding,
} from '../../gen/sidekey/v1/administration.ts';
import { createOffload, type OffloadOptions } from '../../offload/index.ts';
import { parseEndpoint } from '../arguments.ts';
import { describeFailure } from '../failure.ts';
import { formatTable, type OutputFormat, print, printable, styled } from '../terminal.ts';
import type { AuthorityClient } from './client.ts';
import { toJson } from './json.ts';

export interface DoctorOptions {
  /** Addresses hosts use, to be tried from here. */
  readonly reach: readonly string[];
  /** Absent: no sidecar is looked at. */
  readonly sidecar: OffloadOptions | undefined;
  /** Show also what is in order. */
  readonly all: boolean;
}

/**
 * What is wrong, seen by the authority and from here, each with its remedy.
 *
 * @returns whether nothing hurts now
 */
export async function runDoctor(
  client: AuthorityClient,
  options: DoctorOptions,
  format: OutputFormat,
): Promise<boolean> {
  const findings = [
    ...(await askAuthority(client)),
    ...(await Promise.all(options.reach.map(reach))),
    ...(options.sidecar === undefined ? [] : await lookAtSidecar(options.sidecar)),
  ];
  if (format === 'json') print(JSON.stringify(findings.map(toJson), null, 2));
  else tell(findings, options.all);
  return !findings.some(({ severity }) => severity === 'error');
}

/** An authority that cannot be asked is a finding like others. */
async function askAuthority(client: AuthorityClient): Promise<Finding[]> {
  const asked = Date.now();
  try {
    const { findings } = await client.call(Administration.diagnose, {});
    const { serverTime } = await client.call(Administration.getStatus, {});
    return [...findings, checkClock(serverTime, asked, Date.now())];
  } catch (error) {
    return [
      finding(
        'error',
        'authority',
        describeFailure(error),
        'is it running, and is --authority its administration address?',
      ),
    ];
  }
}

function checkClock(serverTime: Date | undefined, asked: number, answered: number): Finding {
  const server = serverTime?.getTime() ?? asked;
  const skewMs = Math.max(0, asked - server, server - answered);
  if (skewMs <= toleratedSkewMs) return finding('ok', 'clock', 'the clocks agree', '');
  return finding(
    'warning',
    'clock',
    `the authority's clock and ours are ${String(Math.round(skewMs / 1000))} s apart`,
    'run a time service on both hosts',
  );
}

async function reach(address: string): Promise<Finding> {
  const { host, port } = parseEndpoint(address);
  const problem = await new Promise<string | undefined>((resolve) => {
    const socket = connect({ host, port, timeout: reachTimeoutMs });
    const settle = (text: string | undefined): void => {
      socket.destroy();
      resolve(text);
    };
    socket.once('connect', () => {
      settle(undefined);
    });
    socket.once('timeout', () => {
      settle('no answer');
    });
    socket.once('error', (error) => {
      settle(error.message);
    });
  });
  return problem === undefined
    ? finding('ok', 'reach', `${address} takes connections`, '')
    : finding(
        'error',
        'reach',
        `${address} cannot be reached from here: ${problem}`,
        'check address, firewall and authority.advertise',
      );
}

async function lookAtSidecar(options: OffloadOptions): Promise<Finding[]> {
  const offload = createOffload(options);
  try {
    const { identities } = await offload.listIdentities();
    return identities.map(({ name, ready, problem, notAfter, notBefore }) => {
      if (!ready || problem !== undefined) {
        return finding(
          ready ? 'warning' : 'error',
          'sidecar',
          `identity ${name}: ${problem ?? 'cannot sign'}`,
          'see the log of the sidecar; an enrolled identity without a bundle needs sidekey enroll',
        );
      }
      const end = notAfter?.getTime() ?? 0;
      const life = end - (notBefore?.getTime() ?? 0);
      if ((end - Date.now()) * 10 < life) {
        return finding(
          'warning',
          'sidecar',
          `identity ${name} is in the last tenth of its life, until ${notAfter?.toISOString() ?? ''}`,
          'renewal was due: see the log of the sidecar',
        );
      }
      return finding('ok', 'sidecar', `identity ${name} can sign`, '');
    });
  } catch (error) {
    return [
      finding('error', 'sidecar', describeFailure(error), 'is it running, and is it --sidecar?'),
    ];
  } finally {
    await offload.close();
  }
}

function tell(findings: readonly Finding[], all: boolean): void {
  const shown = findings.filter(({ severity }) => all || severity !== 'ok');
  const rows = shown.map(({ severity, check, message, remedy }) => {
    const last = remedy === '' ? [] : [`→ ${remedy}`];
    return [severity, check, message, ...last].map(printable);
  });
  for (const [severity = '', check = '', message = '', remedy] of rows) {
    const style = severity === 'error' ? 'red' : severity === 'warning' ? 'yellow' : 'green';
    print(`${styled(style, severity.padEnd(8))} ${check}: ${message}`);
    if (remedy !== undefined) print(`         ${remedy}`);
  }
  if (shown.length > 0) print();
  const count = (wanted: string): string =>
    String(findings.filter(({ severity }) => severity === wanted).length);
  print(
    formatTable([
      [`${count('error')} errors`, `${count('warning')} warnings`, `${count('ok')} in order`],
    ]),
  );
}

function finding(severity: string, check: string, message: string, remedy: string): Finding {
  return { severity, check, message, remedy };
}

const toleratedSkewMs = 5000;
const reachTimeoutMs = 3000;
