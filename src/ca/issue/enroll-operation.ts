import { equal, toHex } from '../../bytes/bytes.ts';
import type { Caller } from '../context.ts';
import { crashPoint } from '../crash-points.ts';
import type { RequestedKey } from '../keys/crypto-protocol.ts';
import { type NamedPolicy, readPolicies } from '../policy/policies.ts';
import { allowsDecryptionKey, allowsKey, dnsNamesOf } from '../policy/rules.ts';
import type { Transaction } from '../store/transaction.ts';
import { parseStoredProperties, propertiesDigest } from '../tokens/properties.ts';
import type { ReceivedToken } from '../tokens/token.ts';
import type { Operation, Outcome } from '../write/operation.ts';
import { isActive, mayAsk } from './agent-rules.ts';
import {
  type LockedAgent,
  recoveredAgents,
  writeNewAgents,
  writeRecoveredAgents,
  writeReports,
} from './agent-rows.ts';
import { auditGrant, type Made, makeGrants, writeGrants } from './grant.ts';
import { newAgentId, uuidText } from './ids.ts';
import type { Issued } from './issued.ts';
import type { IssuingContext } from './issuing-context.ts';
import { refuse, type RefusalReason } from './refusal.ts';
import { replay } from './replay.ts';
import { grantsOf, redemptionsOf, required, settle, type Verdict } from './settle.ts';
import { type LockedToken, lockTokens, spendTokens, type TokenRows, useKey } from './token-rows.ts';

/** A request to enrol, whose token is genuine and whose keys are proven. */
export interface EnrollItem {
  readonly token: ReceivedToken;
  readonly tls: RequestedKey;
  readonly decryption: RequestedKey | undefined;
  /** What the host says of itself, JSON. */
  readonly report: string | undefined;
  readonly caller: Caller;
  /** 16 random bytes. */
  readonly request: Uint8Array;
}

/**
 * Enrols hosts: uses up tokens, makes agents and their certificates, all in one transaction. A token
 * of kind `recover` gives its agent new certificates instead.
 */
export function createEnrollOperation(context: IssuingContext): Operation<EnrollItem, Issued> {
  return {
    name: 'enroll',
    priority: 'enroll',
    apply: (transaction, items) => enroll(context, transaction, items),
  };
}

async function enroll(
  context: IssuingContext,
  transaction: Transaction,
  items: readonly EnrollItem[],
): Promise<readonly Outcome<Issued>[]> {
  const [rows, policies] = await Promise.all([
    lockTokens(
      transaction,
      items.map(({ token, tls }) => ({ token: token.id, keyHash: tls.keyHash })),
    ),
    readPolicies(transaction.queries),
  ]);
  const agents = await recoveredAgents(transaction, [...rows.tokens.values()]);
  crashPoint('enroll.after_check');
  const judge = new Judge(context, transaction.now, rows, policies, agents);
  const verdicts = items.map((item, index) => judge.verdict(item, index));
  // The store and the keys work at the same time: neither needs what the other answers.
  const [made] = await Promise.all([
    makeGrants(context, transaction.now, grantsOf(verdicts)),
    spendTokens(transaction, judge.uses).then(() => {
      crashPoint('enroll.after_claim');
    }),
  ]);
  crashPoint('enroll.after_sign');
  const reports = new Map(items.map(({ request, report }) => [toHex(request), report]));
  const isRecovered = ({ grant }: Made) => agents.has(toHex(grant.agentId));
  await Promise.all([
    writeNewAgents(
      transaction,
      made.filter((one) => !isRecovered(one)),
      reports,
    ),
    writeRecoveredAgents(transaction, made.filter(isRecovered)),
    writeReports(transaction, made.filter(isRecovered), reports),
    writeGrants(transaction, made),
  ]);
  crashPoint('enroll.after_insert');
  const replays = await replay(context, transaction, redemptionsOf(verdicts));
  return settle(
    verdicts,
    { made, replays },
    {
      granted: (one, index) => {
        const { caller } = required(items[index]);
        auditGrant(transaction, isRecovered(one) ? 'recover' : 'enroll', caller.name, one);
      },
      refused: (reason, index) => {
        const { token, caller, request } = required(items[index]);
        const action = token.kind === 'recover' ? 'recover' : 'enroll';
        return refuse(transaction, { action, subject: token.id, reason, caller, request });
      },
    },
  );
}

/** Decides, in the order of the requests, as if each came by itself. */
class Judge {
  /** Uses of tokens so far, by hex of their ids. */
  readonly uses = new Map<string, number>();
  readonly #context: IssuingContext;
  readonly #now: number;
  readonly #rows: TokenRows;
  readonly #policies: ReadonlyMap<string, NamedPolicy>;
  readonly #agents: ReadonlyMap<string, LockedAgent>;
  /** Index of the request that got each use of this batch. */
  readonly #granted = new Map<string, number>();

  constructor(
    context: IssuingContext,
    now: number,
    rows: TokenRows,
    policies: ReadonlyMap<string, NamedPolicy>,
    agents: ReadonlyMap<string, LockedAgent>,
  ) {
    this.#context = context;
    this.#now = now;
    this.#rows = rows;
    this.#policies = policies;
    this.#agents = agents;
  }

  verdict(item: EnrollItem, index: number): Verdict {
    const { token, tls } = item;
    const id = toHex(token.id);
    const row = this.#rows.tokens.get(id);
    if (row === undefined || !agrees(row, token)) return refused('token_unknown');
    if (row.state === 'revoked') return refused('token_revoked');
    const use = useKey(token.id, tls.keyHash);
    const same = this.#granted.get(use);
    if (same !== undefined) return { kind: 'same', as: same };
    const redemption = this.#rows.redemption(token.id, tls.keyHash);
    if (redemption !== undefined) return { kind: 'replay', redemption };
    if (row.expires_at <= this.#now) return refused('token_expired');
    const used = this.uses.get(id) ?? 0;
    if (row.uses + used >= row.cap) return refused('token_spent');
    const verdict = this.#grant(item, row, row.uses + used);
    if (verdict.kind === 'grant') {
      this.uses.set(id, used + 1);
      this.#granted.set(use, index);
    }
    return verdict;
  }

  #grant(item: EnrollItem, row: LockedToken, slot: number): Verdict {
    const { tls, decryption } = item;
    if (row.kind === 'renew') return refused('token_kind');
    const policy = this.#policies.get(row.policy);
    if (policy === undefined) return refused('policy_missing');
    const keysAllowed =
      allowsKey(policy.policy.tlsKeys, tls) &&
      (decryption === undefined || allowsDecryptionKey(policy.policy, decryption));
    if (!keysAllowed) return refused('key_not_allowed');
    const properties = parseStoredProperties(row.properties);
    const dnsNames = dnsNamesOf(policy.policy, properties);
    if (dnsNames === undefined) return refused('dns_not_allowed');
    const agent = row.agent === null ? undefined : this.#agents.get(toHex(row.agent));
    if (row.kind === 'recover') {
      if (agent === undefined || !mayAsk(agent.state)) return refused('agent_state');
      // It was asked for in place of a generation that others have replaced since.
      if (row.generation !== agent.generation) return refused('token_spent');
    }
    const agentId = agent?.id ?? newAgentId(this.#context.random);
    return {
      kind: 'grant',
      grant: {
        agentId,
        spiffeId:
          agent?.spiffe_id ??
          `spiffe://${this.#context.trustDomain}/${row.role}/${uuidText(agentId)}`,
        role: row.role,
        generation: (agent?.generation ?? 0) + 1,
        properties,
        active:
          agent === undefined ? policy.policy.activation === 'automatic' : isActive(agent.state),
        policy,
        dnsNames,
        tls,
        decryption,
        token: row.id,
        slot,
        replaces: agent?.current_serial,
        request: item.request,
        source: item.caller.source,
        late: false,
      },
    };
  }
}

/** What we signed is what stands in the row: neither ever changes. */
function agrees(row: LockedToken, token: ReceivedToken): boolean {
  return (
    row.kind === token.kind &&
    row.role === token.role &&
    row.expires_at === token.expiresAt &&
    equal(row.key_id, token.keyId) &&
    equal(propertiesDigest(row.properties), token.propertiesDigest)
  );
}

function refused(reason: RefusalReason): Verdict {
  return { kind: 'refused', reason };
}
