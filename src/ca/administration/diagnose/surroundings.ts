import { stat, statfs } from 'node:fs/promises';
import { sql } from 'kysely';
import type { Finding } from '../../../gen/sidekey/v1/administration.ts';
import type { AuthorityContext } from '../../context.ts';
import type { AuthorityFacts } from '../facts.ts';
import { readLastBackup } from '../back-up.ts';
import { failure, fine, named, warning } from './finding.ts';

/** Replicas, CRLs, disk, files and backups. */
export async function checkSurroundings(
  context: AuthorityContext,
  facts: AuthorityFacts,
): Promise<Finding[]> {
  return [
    ...(await checkReplicas(context)),
    await checkCrls(context, facts),
    ...(await checkFiles(facts)),
    ...(await checkBackup(context)),
  ];
}

async function checkReplicas(context: AuthorityContext): Promise<Finding[]> {
  const rows = await context.store.queries
    .selectFrom('replica')
    .select(['id', 'version', 'heartbeat_at', 'clock_offset_ms'])
    .orderBy('id')
    .execute();
  const now = context.now().getTime();
  const live = rows.filter(({ heartbeat_at }) => heartbeat_at > now - staleMs);
  const silent = rows.filter(({ heartbeat_at }) => heartbeat_at <= now - staleMs);
  const versions = new Set(live.map(({ version }) => version));
  const skewed = live.filter(({ clock_offset_ms }) => Math.abs(clock_offset_ms) > skewMs);
  const findings: Finding[] = [];
  if (silent.length > 0) {
    const names = silent.map(({ id }) => id);
    findings.push(
      warning(
        'replicas',
        `not heard of for a minute: ${named(names, names.length)}`,
        'start them again; those that are gone for good do not hold anything up',
      ),
    );
  }
  if (versions.size > 1) {
    findings.push(
      warning(
        'replicas',
        `replicas run different versions: ${[...versions].join(', ')}`,
        'finish the upgrade',
      ),
    );
  }
  if (skewed.length > 0) {
    const names = skewed.map(({ id }) => id);
    findings.push(
      warning(
        'replicas',
        `clocks of replicas differ: ${named(names, names.length)}`,
        'run a time service on their hosts',
      ),
    );
  }
  if (findings.length === 0) {
    findings.push(fine('replicas', `${String(live.length)} at work, clocks agree`));
  }
  return findings;
}

async function checkCrls(context: AuthorityContext, facts: AuthorityFacts): Promise<Finding> {
  if (facts.publicUrl === undefined) {
    return fine(
      'crl',
      'no CRLs are published; hosts of this authority learn of revocations anyway',
    );
  }
  const now = context.now().getTime();
  const rows = await context.store.queries
    .selectFrom('ca_generation')
    .leftJoin('crl', (join) =>
      join.onRef('crl.issuer', '=', 'ca_generation.id').on('crl.base_number', 'is', null),
    )
    .select([
      'ca_generation.kind',
      'ca_generation.number',
      sql<number | null>`max(crl.next_update)`.as('next_update'),
    ])
    .where('ca_generation.kind', '=', 'issuing')
    .where('ca_generation.state', 'in', ['signing', 'draining', 'tainted'])
    .groupBy(['ca_generation.kind', 'ca_generation.number'])
    .execute();
  const late = rows.filter(({ next_update }) => (next_update ?? 0) <= now);
  if (late.length === 0) return fine('crl', `CRLs are up to date at ${facts.publicUrl}`);
  const names = late.map(({ kind, number }) => `${kind} ${String(number)}`);
  return failure(
    'crl',
    `no CRL that is still good: ${named(names, names.length)}`,
    'look at the log: CRLs are built again by themselves as soon as the key can be used',
  );
}

async function checkFiles({ stateDirectory }: AuthorityFacts): Promise<Finding[]> {
  if (stateDirectory === undefined) return [];
  const { bavail, blocks, bsize } = await statfs(stateDirectory);
  const freeBytes = bavail * bsize;
  const mebibytes = Math.floor(freeBytes / 1024 / 1024);
  const { mode } = await stat(stateDirectory);
  return [
    freeBytes < minFreeBytes || bavail * 20 < blocks
      ? warning(
          'disk',
          `${String(mebibytes)} MiB are left on the disk of ${stateDirectory}`,
          'make room: nothing is issued once the disk is almost full',
        )
      : fine('disk', `${String(mebibytes)} MiB are left`),
    (mode & 0o077) === 0
      ? fine('permissions', `${stateDirectory} is closed to others`)
      : warning(
          'permissions',
          `others can look into ${stateDirectory} (mode ${(mode & 0o777).toString(8)})`,
          `chmod 0700 ${stateDirectory}`,
        ),
  ];
}

/** PostgreSQL is backed up with its own tools, of which we know nothing. */
async function checkBackup({ store, now }: AuthorityContext): Promise<Finding[]> {
  if (store.kind !== 'sqlite') return [];
  const at = await readLastBackup(store.queries);
  const remedy = 'sidekey authority backup --out FILE, every day, to another host';
  if (at === undefined) return [warning('backup', 'the store was never backed up', remedy)];
  const date = at.toISOString().slice(0, 10);
  return now().getTime() - at.getTime() > backupAgeMs
    ? [warning('backup', `the last backup is of ${date}`, remedy)]
    : [fine('backup', `the last backup is of ${date}`)];
}

const staleMs = 60_000;
const skewMs = 5000;
const minFreeBytes = 1024 * 1024 * 1024;
const backupAgeMs = 7 * 86_400_000;
