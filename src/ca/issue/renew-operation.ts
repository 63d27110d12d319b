import { equal, toHex } from '../../bytes/bytes.ts';
import { changeAgent } from '../agents/change-agent.ts';
import type { Caller } from '../context.ts';
import { crashPoint } from '../crash-points.ts';
import type { RequestedKey } from '../keys/crypto-protocol.ts';
import { type NamedPolicy, readPolicies } from '../policy/policies.ts';
import { allowsDecryptionKey, allowsKey, dnsNamesOf } from '../policy/rules.ts';
import type { Row } from '../store/schema.ts';
import type { Transaction } from '../store/transaction.ts';
import { parseStoredProperties } from '../tokens/properties.ts';
import type { ReceivedToken } from '../tokens/token.ts';
import type { Operation, Outcome } from '../write/operation.ts';
import { isActive, mayAsk } from './agent-rules.ts';
import { lockAgents, type LockedAgent, writeRenewedAgents, writeReports } from './agent-rows.ts';
import { confirmCertificates, type SeenGeneration } from './confirm-certificates.ts';
import { auditGrant, type Made, makeGrants, writeGrants } from './grant.ts';
import type { Issued } from './issued.ts';
import type { IssuingContext } from './issuing-context.ts';
import { refuse, type RefusalReason } from './refusal.ts';
import { replay } from './replay.ts';
import { grantsOf, redemptionsOf, required, settle, type Verdict } from './settle.ts';
import {
  distinct,
  type LockedToken,
  lockTokens,
  spendTokens,
  type TokenRows,
  useKey,
} from './token-rows.ts';

/** A request to renew, whose token is genuine, whose keys are proven, and which the key of `currentSerial` has signed. */
export interface RenewItem {
  readonly token: ReceivedToken;
  readonly tls: RequestedKey;
  readonly decryption: RequestedKey | undefined;
  readonly currentSerial: Uint8Array;
  /** What the host says of itself, JSON. */
  readonly report: string | undefined;
  readonly caller: Caller;
  /** 16 random bytes. */
  readonly request: Uint8Array;
}

type CurrentCertificate = Pick<
  Row<'certificate'>,
  'serial' | 'agent' | 'agent_generation' | 'purpose' | 'state' | 'not_after'
>;

/**
 * Renews: uses up renewal tokens and gives their agents the next generation of certificates. What
 * they had stays good until the new is seen in use.
 */
export function createRenewOperation(context: IssuingContext): Operation<RenewItem, Issued> {
  return {
    name: 'renew',
    priority: 'renew',
    apply: (transaction, items) => renew(context, transaction, items),
  };
}

async function renew(
  context: IssuingContext,
  transaction: Transaction,
  items: readonly RenewItem[],
): Promise<readonly Outcome<Issued>[]> {
  const rows = await lockTokens(
    transaction,
    items.map(({ token, tls }) => ({ token: token.id, keyHash: tls.keyHash })),
  );
  const facts = await gather(transaction, items, rows);
  crashPoint('renew.after_check');
  const judge = new Judge(transaction.now, facts);
  const verdicts = items.map((item, index) => judge.verdict(item, index));
  // The store and the keys work at the same time: neither needs what the other answers.
  const [made] = await Promise.all([
    makeGrants(context, transaction.now, grantsOf(verdicts)),
    spendTokens(transaction, judge.uses).then(() => {
      crashPoint('renew.after_claim');
    }),
  ]);
  crashPoint('renew.after_sign');
  const reports = new Map(items.map(({ request, report }) => [toHex(request), report]));
  await Promise.all([
    writeRenewedAgents(transaction, made),
    writeReports(transaction, made, reports),
    writeGrants(transaction, made),
  ]);
  await confirmCertificates(transaction, seenIn(items, made, facts));
  crashPoint('renew.after_insert');
  const replays = await replay(context, transaction, redemptionsOf(verdicts));
  const outcomes = settle(
    verdicts,
    { made, replays },
    {
      granted: (one, index) => {
        auditGrant(transaction, 'renew', required(items[index]).caller.name, one);
      },
      refused: (reason, index) => {
        const { token, tls, currentSerial, caller, request } = required(items[index]);
        return refuse(transaction, {
          action: 'renew',
          subject: token.id,
          reason,
          caller,
          request,
          details: { current: toHex(currentSerial), key_hash: toHex(tls.keyHash) },
        });
      },
    },
  );
  await quarantine(transaction, judge.clones);
  return outcomes;
}

/** Everything that is read for a batch. */
interface Facts {
  readonly rows: TokenRows;
  readonly policies: ReadonlyMap<string, NamedPolicy>;
  readonly agents: ReadonlyMap<string, LockedAgent>;
  /** By hex of the serial number. */
  readonly current: ReadonlyMap<string, CurrentCertificate>;
  /** Hex of serial numbers. */
  readonly revoked: ReadonlySet<string>;
}

async function gather(
  transaction: Transaction,
  items: readonly RenewItem[],
  rows: TokenRows,
): Promise<Facts> {
  const { queries } = transaction;
  const serials = distinct(items.map(({ currentSerial }) => currentSerial));
  const [policies, agents, current, revoked] = await Promise.all([
    readPolicies(queries),
    lockAgents(
      transaction,
      [...rows.tokens.values()].flatMap(({ agent }) => (agent === null ? [] : [agent])),
    ),
    queries
      .selectFrom('certificate')
      .select(['serial', 'agent', 'agent_generation', 'purpose', 'state', 'not_after'])
      .where('serial', 'in', serials)
      .execute(),
    queries
      .selectFrom('revocation')
      .select('subject')
      .where('kind', '=', 'certificate')
      .where('subject', 'in', serials)
      .execute(),
  ]);
  return {
    rows,
    policies,
    agents,
    current: new Map(current.map((row) => [toHex(row.serial), row])),
    revoked: new Set(revoked.map(({ subject }) => toHex(subject))),
  };
}

/** Decides, in the order of the requests, as if each came by itself. */
class Judge {
  /** Uses of tokens, by hex of their ids. */
  readonly uses = new Map<string, number>();
  /** Who has two holders, by hex of their ids: a spent token with a valid proof and another key. */
  readonly clones = new Map<string, RenewItem>();
  readonly #now: number;
  readonly #facts: Facts;
  /** Index of the request that got each use of this batch. */
  readonly #granted = new Map<string, number>();

  constructor(now: number, facts: Facts) {
    this.#now = now;
    this.#facts = facts;
  }

  verdict(item: RenewItem, index: number): Verdict {
    const { token, tls, currentSerial } = item;
    const { rows, agents, current: certificates, revoked } = this.#facts;
    const id = toHex(token.id);
    const row = rows.tokens.get(id);
    if (row?.kind !== 'renew' || row.agent === null) return refused('token_unknown');
    const agent = agents.get(toHex(row.agent));
    const current = certificates.get(toHex(currentSerial));
    if (agent === undefined || current === undefined) return refused('certificate_unknown');
    // The proof is worth what the certificate is: it has to be the one that came with the token.
    if (
      current.purpose !== 'tls' ||
      current.agent === null ||
      !equal(current.agent, agent.id) ||
      current.agent_generation !== row.generation
    ) {
      return refused('wrong_certificate');
    }
    if (revoked.has(toHex(currentSerial))) return refused('certificate_revoked');
    if (!mayAsk(agent.state)) return refused('agent_state');
    const use = useKey(token.id, tls.keyHash);
    const same = this.#granted.get(use);
    if (same !== undefined) return { kind: 'same', as: same };
    const redemption = rows.redemption(token.id, tls.keyHash);
    if (redemption !== undefined) return { kind: 'replay', redemption };
    if (row.state === 'revoked') return refused('token_revoked');
    if (row.uses > 0 || this.uses.has(id)) return this.#clone(item, agent);
    if (row.expires_at <= this.#now) return refused('token_expired');
    if (agent.generation !== row.generation) return refused('token_spent');
    const verdict = this.#grant(item, row, agent, current);
    if (verdict.kind === 'grant') {
      this.uses.set(id, 1);
      this.#granted.set(use, index);
    }
    return verdict;
  }

  #grant(
    item: RenewItem,
    row: LockedToken,
    agent: LockedAgent,
    current: CurrentCertificate,
  ): Verdict {
    const { tls, decryption } = item;
    const policy = this.#facts.policies.get(agent.policy);
    if (policy === undefined) return refused('policy_missing');
    const keysAllowed =
      allowsKey(policy.policy.tlsKeys, tls) &&
      (decryption === undefined || allowsDecryptionKey(policy.policy, decryption));
    if (!keysAllowed) return refused('key_not_allowed');
    const properties = parseStoredProperties(agent.properties);
    const dnsNames = dnsNamesOf(policy.policy, properties);
    if (dnsNames === undefined) return refused('dns_not_allowed');
    return {
      kind: 'grant',
      grant: {
        agentId: agent.id,
        spiffeId: agent.spiffe_id,
        role: agent.role,
        generation: agent.generation + 1,
        properties,
        active: isActive(agent.state),
        policy,
        dnsNames,
        tls,
        decryption,
        token: row.id,
        slot: 0,
        replaces: current.serial,
        request: item.request,
        source: item.caller.source,
        late: current.not_after <= this.#now,
      },
    };
  }

  #clone(item: RenewItem, agent: LockedAgent): Verdict {
    const policy = this.#facts.policies.get(agent.policy)?.policy;
    if (policy?.onClone !== 'alert') this.clones.set(toHex(agent.id), item);
    return refused('clone_suspected');
  }
}

/** Certificates not seen in use before, which have now signed a request. */
function seenIn(
  items: readonly RenewItem[],
  made: readonly Made[],
  { current }: Facts,
): readonly SeenGeneration[] {
  const byRequest = new Map(items.map((item) => [toHex(item.request), item]));
  return made.flatMap(({ grant }): readonly SeenGeneration[] => {
    const item = required(byRequest.get(toHex(grant.request)));
    if (current.get(toHex(item.currentSerial))?.state !== 'issued') return [];
    return [
      {
        agent: grant.agentId,
        generation: grant.generation - 1,
        serial: item.currentSerial,
        caller: item.caller,
        request: item.request,
      },
    ];
  });
}

async function quarantine(
  transaction: Transaction,
  clones: ReadonlyMap<string, RenewItem>,
): Promise<void> {
  for (const [agent, { caller, request }] of clones) {
    await changeAgent(transaction, {
      id: Uint8Array.from(Buffer.from(agent, 'hex')),
      action: 'quarantine',
      by: 'authority',
      why: `a spent renewal token came with another key, from ${caller.source}`,
      request: toHex(request),
    });
  }
}

function refused(reason: RefusalReason): Verdict {
  return { kind: 'refused', reason };
}
