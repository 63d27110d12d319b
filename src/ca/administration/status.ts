import { sql } from 'kysely';
import type {
  Generation as GenerationMessage,
  GetStatusResponse,
} from '../../gen/sidekey/v1/administration.ts';
import type { AuthorityContext } from '../context.ts';
import type { RotationGeneration } from '../rotation/index.ts';
import type { Queries } from '../store/transaction.ts';
import type { AuthorityFacts } from './facts.ts';
import { countCertificates } from './list-certificates.ts';
import { bytes, moment } from './wire.ts';

/** Everything about the authority at a glance. */
export async function readStatus(
  context: AuthorityContext,
  facts: AuthorityFacts,
  generations: readonly RotationGeneration[],
): Promise<GetStatusResponse> {
  const { queries } = context.store;
  const now = context.now();
  const certificates = await countCertificates(queries, now);
  const replicas = await queries
    .selectFrom('replica')
    .select(['id', 'version', 'heartbeat_at', 'feed_seq', 'issuing_generation'])
    .orderBy('id')
    .execute();
  return {
    trustDomain: context.trustDomain,
    epoch: context.epoch,
    store: context.store.kind,
    keyManager: context.keys.kind,
    version: facts.version,
    serverTime: now,
    problems: [...facts.problems()],
    feedSequence: BigInt(await counter(queries, 'feed')),
    bundleSequence: BigInt(await counter(queries, 'bundle')),
    agentsByState: await agentsByState(queries),
    certificatesLive: BigInt(certificates.live),
    certificatesRevoked: BigInt(certificates.revoked),
    tokensUsable: BigInt(await usableTokens(queries, now)),
    generations: generations.map(generationMessage),
    replicas: replicas.map((replica) => ({
      id: replica.id,
      version: replica.version,
      heartbeatAt: moment(replica.heartbeat_at),
      feedSequence: BigInt(replica.feed_seq),
      issuingGeneration: replica.issuing_generation,
    })),
    enrolmentMode: facts.enrolmentMode,
  };
}

/** The last number given out of a sequence. */
export async function counter(queries: Queries, name: string): Promise<number> {
  const row = await queries
    .selectFrom('counter')
    .select('value')
    .where('name', '=', name)
    .executeTakeFirst();
  return row?.value ?? 0;
}

export function generationMessage(generation: RotationGeneration): GenerationMessage {
  return {
    id: bytes(generation.id),
    kind: generation.kind,
    number: generation.number,
    state: generation.state,
    notBefore: generation.notBefore,
    notAfter: generation.notAfter,
    certificate: bytes(generation.certificate),
    liveCertificates: BigInt(generation.live),
  };
}

async function agentsByState(queries: Queries): Promise<Record<string, bigint>> {
  const rows = await queries
    .selectFrom('agent')
    .select(['state', sql<number | bigint>`count(*)`.as('count')])
    .groupBy('state')
    .execute();
  return Object.fromEntries(rows.map(({ state, count }) => [state, BigInt(count)]));
}

/** Those an operator made and that somebody could still enrol with. */
async function usableTokens(queries: Queries, now: Date): Promise<number> {
  const { count } = await queries
    .selectFrom('token')
    .select(sql<number | bigint>`count(*)`.as('count'))
    .where('kind', '!=', 'renew')
    .where('state', '=', 'active')
    .where('expires_at', '>', now.getTime())
    .where(sql<boolean>`uses < cap`)
    .executeTakeFirstOrThrow();
  return Number(count);
}
