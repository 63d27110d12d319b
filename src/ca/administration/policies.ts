import { sql } from 'kysely';
import type { z } from 'zod';
import {
  type ListPoliciesResponse,
  type Policy,
  PutPolicyRequest,
  PutPolicyResponse,
} from '../../gen/sidekey/v1/administration.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { AuthorityContext, Caller } from '../context.ts';
import { issuancePolicy } from '../policy/policy.ts';
import type { Row } from '../store/schema.ts';
import type { Queries } from '../store/transaction.ts';
import { changeOnce, done } from './once.ts';
import { moment } from './wire.ts';

/** The newest version of every policy, by name. */
export async function listPolicies(queries: Queries): Promise<ListPoliciesResponse> {
  const rows = await queries
    .selectFrom('policy')
    .selectAll()
    .where(
      sql<boolean>`version = (select max(newer.version) from policy newer where newer.name = policy.name)`,
    )
    .orderBy('name')
    .execute();
  return { policies: rows.map(policyMessage) };
}

/**
 * Adds a version to a policy, or a policy. Versions are never edited; what was issued says which it
 * was issued by.
 *
 * @throws ServiceError `INVALID_ARGUMENT` that says what is wrong with the document
 */
export async function putPolicy(
  context: AuthorityContext,
  request: PutPolicyRequest,
  caller: Caller,
): Promise<PutPolicyResponse> {
  const { name } = request;
  if (!/^[a-z0-9][a-z0-9._-]{0,63}$/u.test(name)) {
    throw new ServiceError(
      'INVALID_ARGUMENT',
      'policy_name_invalid',
      'the name of a policy has up to 64 characters a-z 0-9 . _ -',
    );
  }
  const document = JSON.stringify(readDocument(request.document));
  return await changeOnce(
    context,
    {
      caller,
      key: request.idempotencyKey,
      method: 'PutPolicy',
      request: PutPolicyRequest.encode(request).finish(),
    },
    PutPolicyResponse,
    async (transaction) => {
      const { queries, now } = transaction;
      const newest = await queries
        .selectFrom('policy')
        .select(sql<number | null>`max(version)`.as('version'))
        .where('name', '=', name)
        .executeTakeFirstOrThrow();
      const version = (newest.version ?? 0) + 1;
      const row = { name, version, document, created_at: now, created_by: caller.name };
      await queries.insertInto('policy').values(row).execute();
      transaction.audit({
        actor: caller.name,
        action: 'policy.put',
        subject: `${name}/${String(version)}`,
        outcome: 'done',
      });
      return done({ policy: policyMessage(row) });
    },
  );
}

/** Checked as a whole, with its defaults filled in: a version says everything it does. */
function readDocument(text: string): z.output<typeof issuancePolicy> {
  if (text.length > maxDocument) throw invalid('it is longer than 16 KiB');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw invalid('it is not JSON');
  }
  const parsed = issuancePolicy.safeParse(value);
  if (parsed.success) return parsed.data;
  throw invalid(
    parsed.error.issues
      .slice(0, 5)
      .map(({ path, message }) => (path.length === 0 ? message : `${path.join('.')}: ${message}`))
      .join('; '),
  );
}

function invalid(problem: string): ServiceError {
  return new ServiceError(
    'INVALID_ARGUMENT',
    'policy_invalid',
    `the policy cannot be used: ${problem}`,
  );
}

function policyMessage(row: Row<'policy'>): Policy {
  return {
    name: row.name,
    version: row.version,
    document: row.document,
    createdAt: moment(row.created_at),
    createdBy: row.created_by,
  };
}

const maxDocument = 16_384;
