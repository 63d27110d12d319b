import { equal, toHex } from '../../bytes/bytes.ts';
import type { Row } from '../store/schema.ts';
import type { Queries, Transaction } from '../store/transaction.ts';
import { parseStoredProperties, propertiesDigest } from '../tokens/properties.ts';
import { encodeTokenPayload, signedPart, tokenText } from '../tokens/token.ts';
import type { Issued } from './issued.ts';
import type { IssuingContext } from './issuing-context.ts';
import { isActive, mayAsk } from './agent-rules.ts';
import type { RefusalReason } from './refusal.ts';
import { distinct } from './token-rows.ts';

/** What became of asking again. */
export type Replay =
  | { readonly ok: true; readonly issued: Issued }
  | { readonly ok: false; readonly reason: RefusalReason };

/**
 * Answers again what was answered to the same token and key, byte for byte: certificates as they were
 * stored, the renewal token signed anew, which gives the same. Not when they were revoked, or
 * superseded by others seen in use. In the order of `redemptions`.
 */
export async function replay(
  context: IssuingContext,
  { queries, now }: Transaction,
  redemptions: readonly Row<'redemption'>[],
): Promise<readonly Replay[]> {
  if (redemptions.length === 0) return [];
  const serials = distinct(redemptions.map(({ serial }) => serial));
  const agents = distinct(redemptions.map(({ agent }) => agent));
  const [certificates, agentRows, revoked] = await Promise.all([
    queries
      .selectFrom('certificate')
      .selectAll()
      .where('request', 'in', (query) =>
        query.selectFrom('certificate').select('request').where('serial', 'in', serials),
      )
      .execute(),
    queries
      .selectFrom('agent')
      .select(['id', 'state', 'spiffe_id', 'generation', 'properties'])
      .where('id', 'in', agents)
      .execute(),
    queries
      .selectFrom('revocation')
      .select('subject')
      .where('kind', '=', 'certificate')
      .where('subject', 'in', serials)
      .execute(),
  ]);
  const renewals = await renewalTokens(queries, agents, certificates);
  const revokedSerials = new Set(revoked.map(({ subject }) => toHex(subject)));
  return await Promise.all(
    redemptions.map(async ({ serial, agent: agentId }): Promise<Replay> => {
      const tls = certificates.find((row) => equal(row.serial, serial));
      const agent = agentRows.find(({ id }) => equal(id, agentId));
      if (tls === undefined || agent === undefined) return { ok: false, reason: 'token_spent' };
      if (revokedSerials.has(toHex(serial))) return { ok: false, reason: 'certificate_revoked' };
      if (!mayAsk(agent.state)) return { ok: false, reason: 'agent_state' };
      if (tls.state !== 'issued' && tls.state !== 'confirmed') {
        return { ok: false, reason: 'certificate_superseded' };
      }
      const token = renewals.find(
        (row) => row.generation === tls.agent_generation && row.agent && equal(row.agent, agentId),
      );
      const text = token && token.expires_at > now ? await textOf(context, token) : undefined;
      // Ended beyond grace, or signed by a token key that is no more: there is nothing left to give. A
      // certificate that has only ended is what lets a host that slept over its answer come back.
      if (tls.der === null || text === undefined) {
        return { ok: false, reason: 'token_spent' };
      }
      const decryption = certificates.find(
        (row) => row.purpose === 'decryption' && equal(row.request, tls.request),
      );
      const chain = chainOf(context, tls.issuer);
      return {
        ok: true,
        issued: {
          agentId,
          spiffeId: agent.spiffe_id,
          tlsChain: [tls.der, ...chain],
          decryptionChain: decryption?.der ? [decryption.der, ...chain] : [],
          renewalToken: text,
          generation: tls.agent_generation ?? agent.generation,
          active: isActive(agent.state),
          properties: parseStoredProperties(agent.properties),
          replayed: true,
          late: false,
        },
      };
    }),
  );
}

/** The renewal tokens that came with certificates; an agent may have had many others. */
async function renewalTokens(
  queries: Queries,
  agents: readonly Uint8Array[],
  certificates: readonly Pick<Row<'certificate'>, 'agent_generation'>[],
): Promise<readonly Row<'token'>[]> {
  const generations = certificates.flatMap(({ agent_generation: generation }) =>
    generation === null ? [] : [generation],
  );
  if (generations.length === 0) return [];
  return await queries
    .selectFrom('token')
    .selectAll()
    .where('agent', 'in', agents)
    .where('generation', 'in', [...new Set(generations)])
    .where('kind', '=', 'renew')
    .execute();
}

/** The text of a token made again from its row; `undefined` if its key is no more. */
export async function textOf(
  context: IssuingContext,
  row: Row<'token'>,
): Promise<string | undefined> {
  const key = context.tokenKeys.find(row.key_id);
  if (key === undefined) return undefined;
  const payload = encodeTokenPayload({
    keyId: row.key_id,
    id: row.id,
    kind: row.kind,
    expiresAt: row.expires_at,
    role: row.role,
    propertiesDigest: propertiesDigest(row.properties),
  });
  const signer = await context.tokenKeys.signerOf(key);
  const [signature] = await signer.signAll([signedPart(payload)]);
  return signature && tokenText(payload, signature);
}

function chainOf({ generations }: IssuingContext, issuer: Uint8Array): readonly Uint8Array[] {
  const generation = generations.all().find(({ id }) => equal(id, issuer));
  return generation === undefined ? [] : generations.chainOf(generation);
}
