import { parseArgs } from 'node:util';
import { startPostgres } from '../../test/support/postgres.ts';
import { machineLine, writeJson } from '../report.ts';
import { fileURLToPath } from 'node:url';
import { measureFlood } from './flood.ts';
import { measureRevocationReach } from './followers.ts';
import type { Rate } from './in-flight.ts';
import {
  measureEnrolments,
  measureRenewals,
  measureSeparateEnrolments,
  mintHosts,
  prepareRenewals,
} from './rates.ts';
import {
  certificatesOfHost,
  enrollCrowd,
  measureRevocations,
  revokeBatches,
} from './revocations.ts';
import { type MeasuredAuthority, removeAuthority, startAuthority } from './stage.ts';
import { Table, type Target } from './table.ts';

/**
 * The certificate authority as it is deployed: a process of its own, every change on disk before it is
 * answered, mutual TLS. All hosts are simulated by this one process, on the same machine.
 *
 *     node --import ./test/support/typescript.mjs bench/authority/main.ts [--rows REGEXP] [--hosts 10000]
 */
const { values: options } = parseArgs({
  options: {
    rows: { type: 'string', default: '.' },
    hosts: { type: 'string', default: '10000' },
    json: {
      type: 'string',
      default: fileURLToPath(new URL('../results/authority.json', import.meta.url)),
    },
  },
});
const wanted = new RegExp(options.rows);
const mostHosts = Number(options.hosts);
const machine = machineLine();
const table = new Table();
process.stdout.write(`${machine}\n`);

if (wanted.test('sqlite rates')) await onSqlite((authority) => ratesOf('SQLite', authority, true));
if (wanted.test('postgres rates')) await onPostgres();
if (wanted.test('growth')) await growth();
if (wanted.test('crowd')) await crowd();
if (wanted.test('reach')) await onSqlite(reach);
if (wanted.test('flood')) await on(await startAuthority({ limits: 'default' }), flood);
table.end();
writeJson(options.json, { machine, node: process.version, rows: table.rows });

async function onPostgres(): Promise<void> {
  const postgres = await startPostgres({ durable: true });
  if ('unavailable' in postgres) {
    process.stdout.write(`PostgreSQL is left out: ${postgres.unavailable}\n`);
    return;
  }
  try {
    const url = await postgres.createDatabase();
    await on(await startAuthority({ store: url }), (authority) =>
      ratesOf('PostgreSQL', authority, false),
    );
  } finally {
    await postgres.stop();
  }
}

async function ratesOf(
  store: string,
  authority: MeasuredAuthority,
  hasTargets: boolean,
): Promise<void> {
  // Code is compiled as it is used: what is measured is an authority that has been running.
  const { hosts: early } = mintHosts(authority, 3000);
  await measureEnrolments(early, 64);
  await measureRenewals(await prepareRenewals(early, 64), 64);
  for (const inFlight of [1, 16, 64]) {
    const isMost = hasTargets && inFlight === 64;
    await bothRates(authority, `${store}, ${String(inFlight)} in flight`, {
      ...{ inFlight, certificates: 2 },
      ...(isMost ? { enrolments: { atLeast: 1500 }, renewals: { atLeast: 2000 } } : {}),
      ...(hasTargets && inFlight === 1 ? { p50: { atMost: 5 } } : {}),
    });
  }
  // As most CAs do: there is no key for decryption.
  const alone = `${store}, 64 in flight, one certificate each`;
  await bothRates(authority, alone, { inFlight: 64, certificates: 1 });
  const { hosts } = mintHosts(authority, 1000);
  await addRate(authority, `enrolments, ${store}, 16 in flight, a connection for each`, () =>
    measureSeparateEnrolments(hosts, 16),
  );
}

interface RateGoals {
  readonly inFlight: number;
  readonly certificates: 1 | 2;
  readonly enrolments?: Target;
  readonly renewals?: Target;
  readonly p50?: Target;
}

async function bothRates(
  authority: MeasuredAuthority,
  name: string,
  { inFlight, certificates, enrolments, renewals, p50 }: RateGoals,
): Promise<void> {
  const { hosts } = mintHosts(authority, inFlight === 1 ? 300 : 2000, { certificates });
  await addRate(authority, `enrolments, ${name}`, () => measureEnrolments(hosts, inFlight), {
    ...(enrolments === undefined ? {} : { rate: enrolments }),
    ...(p50 === undefined ? {} : { p50 }),
  });
  const prepared = await prepareRenewals(hosts, inFlight);
  await addRate(authority, `renewals, ${name}`, () => measureRenewals(prepared, inFlight), {
    ...(renewals === undefined ? {} : { rate: renewals }),
  });
}

/** A hundred thousand certificates: memory, start, and revocation once they are revoked. */
async function crowd(): Promise<void> {
  await onSqlite(async (authority) => {
    const batches = await enrollCrowd(authority, mostHosts * 5);
    const certificates = mostHosts * 5 * certificatesOfHost;
    const memory = `memory of the authority with ${String(certificates)} certificates`;
    table.add(memory, authority.rssMiB(), 'MiB');
    const again = await authority.restart();
    table.add('… start with them', again.startMs, 'ms');
    table.add('… memory after the start', again.rssMiB(), 'MiB');
    try {
      const crowdPerSecond = await revokeBatches(again, batches);
      table.add('agents revoked, by batches', crowdPerSecond, '/s');
      const more = [await enrollCrowd(again, 2000), await enrollCrowd(again, 500)].flat();
      const before = `${String(certificates)} certificates revoked before`;
      const perSecond = await revokeBatches(again, more.slice(0, 1));
      table.add(
        `certificates revoked by a batch, ${before}`,
        perSecond * certificatesOfHost,
        '/s',
        {
          atLeast: 5000,
        },
      );
      const [last] = more.slice(1);
      if (last === undefined) throw new RangeError('no batch');
      await addRate(again, 'agents revoked, a call for each, 64 in flight', () =>
        measureRevocations(again, last),
      );
    } finally {
      await again.stop();
    }
  });
}

async function reach(authority: MeasuredAuthority): Promise<void> {
  const { followers, rounds, closed, told } = await measureRevocationReach(
    authority,
    mostHosts / 10,
  );
  const what = `revoke to closed connection, ${String(followers)} followers, ${String(rounds)} times`;
  table.add(what, closed.p50Ms, 'ms');
  table.add('… p99', closed.p99Ms, 'ms');
  table.add('revoke to each follower told', told.p50Ms, 'ms');
  table.add('… p99', told.p99Ms, 'ms');
}

/** Renewals go on while many addresses try forged tokens. */
async function flood(authority: MeasuredAuthority): Promise<void> {
  const { report, quiet, first, flooded, cores } = await measureFlood(authority, 20_000);
  table.add('renewals, nothing else: p99', quiet.p99Ms, 'ms');
  table.add('forged tokens offered', report.offeredPerSecond, '/s');
  table.add('… that found a stream', report.sentPerSecond, '/s');
  table.add('… answered', report.answeredPerSecond, '/s');
  table.add('… connections cut meanwhile', report.cut, '');
  table.add('renewals in the first ten seconds of it: p99', first.p99Ms, 'ms');
  table.add('… failed', first.failed, '');
  table.add('renewals after that: p50', flooded.p50Ms, 'ms');
  table.add('… p99', flooded.p99Ms, 'ms', { atMost: 50 });
  table.add('… failed', flooded.failed, '', { atMost: 0 });
  table.add('… CPU of the authority', cores, 'cores');
}

async function growth(): Promise<void> {
  await onSqlite(async (authority) => {
    await measureEnrolments(mintHosts(authority, 200).hosts, 16);
    for (const count of [10, 100, 1000, 10_000].filter((each) => each <= mostHosts)) {
      const { hosts, mintSeconds } = mintHosts(authority, count);
      const isAll = count === 10_000;
      table.add(`${String(count)} bundles minted`, mintSeconds, 's', isAll ? { atMost: 5 } : {});
      const rate = await measureEnrolments(hosts, Math.min(count, 64));
      table.add(`${String(count)} hosts enrolled`, rate.seconds, 's', isAll ? { atMost: 15 } : {});
      table.add('… by then, memory of the authority', authority.rssMiB(), 'MiB');
    }
  });
}

/** The rate, and what one call costs at either end: which of them sets the rate is not said otherwise. */
async function addRate(
  authority: MeasuredAuthority,
  what: string,
  measure: () => Promise<Rate>,
  targets: { readonly rate?: Target; readonly p50?: Target } = {},
): Promise<Rate> {
  const before = authority.cpuMs();
  const rate = await measure();
  const cpuMs = (authority.cpuMs() - before) / rate.count;
  table.add(what, rate.perSecond, '/s', targets.rate);
  table.add('… p50', rate.p50Ms, 'ms', targets.p50);
  table.add('… p99', rate.p99Ms, 'ms');
  table.add('… CPU of the authority for each', cpuMs, 'ms');
  table.add('… CPU of the hosts for each', rate.clientCpuMs, 'ms');
  return rate;
}

async function onSqlite(work: (authority: MeasuredAuthority) => Promise<void>): Promise<void> {
  await on(await startAuthority(), work);
}

async function on(
  authority: MeasuredAuthority,
  work: (authority: MeasuredAuthority) => Promise<void>,
): Promise<void> {
  try {
    await work(authority);
  } finally {
    await authority.stop();
    removeAuthority(authority);
  }
}
