import { randomBytes } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { toHex } from '../../../src/bytes/bytes.ts';
import type { AuthorityClient } from '../../../src/cli/authority/client.ts';
import {
  AdministrationServiceService as Administration,
  AdvanceRotationRequest,
  AgentAction,
  ChangeAgentRequest,
  ListAuditRequest,
  PutPolicyRequest,
  RevokeRequest,
  RevokeTokensRequest,
} from '../../../src/gen/sidekey/v1/administration.ts';
import {
  type AdministeredAuthority,
  plantAgent,
  plantToken,
  startAdministeredAuthority,
} from './administered-authority.ts';
import { clientOf, reasonOf } from './calls.ts';
import type { Queries } from '../../../src/ca/store/transaction.ts';

describe('changes through the administration service', () => {
  let authority: AdministeredAuthority;
  let client: AuthorityClient;

  beforeEach(async () => {
    authority = await startAdministeredAuthority();
    client = clientOf(authority);
  });

  afterEach(async () => {
    await client.close();
    await authority.close();
  });

  const auditOf = async (action: string) => {
    const request = ListAuditRequest.fromPartial({ action });
    const { entries } = await client.call(Administration.listAudit, request);
    return entries.map(({ actor, subject, outcome }) => ({ actor, subject, outcome }));
  };
  const change = (id: Buffer, action: AgentAction, key = randomBytes(8).toString('hex')) =>
    client.call(
      Administration.changeAgent,
      ChangeAgentRequest.fromPartial({ idempotencyKey: key, id, action, reason: 'a test' }),
    );
  const revokeAgent = (id: Buffer, key: string) =>
    client.call(
      Administration.revoke,
      RevokeRequest.fromPartial({
        idempotencyKey: key,
        subject: { $case: 'agentId', value: id },
        reason: 'keyCompromise',
      }),
    );

  it('does a call that is made twice once, and answers both the same', async () => {
    const { id } = await plantAgent(authority);
    const first = await revokeAgent(id, 'the-key');
    const second = await revokeAgent(id, 'the-key');
    expect(second).to.deep.equal(first);
    expect(first).to.include({ agents: 1, certificates: 1 });
    expect(await auditOf('agent.revoke')).to.deep.equal([
      { actor: 'owner', subject: toHex(id), outcome: 'done' },
    ]);
    // Under another key it is another call, which finds nothing left to do.
    expect(await revokeAgent(id, 'another')).to.include({ agents: 0, certificates: 0 });
  });

  it('refuses a key that was used for another request', async () => {
    const one = await plantAgent(authority);
    const two = await plantAgent(authority);
    await revokeAgent(one.id, 'the-key');
    expect(await reasonOf(revokeAgent(two.id, 'the-key'))).to.equal('idempotency_key_reused');
    const { state } = await authority.context.store.queries
      .selectFrom('agent')
      .select('state')
      .where('id', '=', two.id)
      .executeTakeFirstOrThrow();
    expect(state).to.equal('active');
  });

  for (const key of ['', 'a b', 'x'.repeat(65)]) {
    it(`refuses the idempotency key ${JSON.stringify(key.slice(0, 8))}`, async () => {
      const { id } = await plantAgent(authority);
      expect(await reasonOf(revokeAgent(id, key))).to.equal('idempotency_key_invalid');
    });
  }

  it('makes one change of many calls at once with one key', async () => {
    const { id } = await plantAgent(authority);
    const answers = await Promise.all(Array.from({ length: 8 }, () => revokeAgent(id, 'the-key')));
    for (const answer of answers) expect(answer).to.deep.equal(answers[0]);
    expect(await auditOf('agent.revoke')).to.have.length(1);
  });

  it('keeps the audit entry of a refusal, and lets the call be made again', async () => {
    const { id } = await plantAgent(authority, { state: 'suspended' });
    expect(await reasonOf(change(id, AgentAction.ACTIVATE, 'k'))).to.equal('agent_state');
    expect(await auditOf('agent.activate')).to.deep.equal([
      { actor: 'owner', subject: toHex(id), outcome: 'refused' },
    ]);
    await change(id, AgentAction.RESUME);
    await change(id, AgentAction.SUSPEND);
    expect(await reasonOf(change(id, AgentAction.ACTIVATE, 'k'))).to.equal('agent_state');
  });

  it('answers a change of state with the agent as it is then', async () => {
    const { id } = await plantAgent(authority, { state: 'enrolled' });
    const { agent } = await change(id, AgentAction.ACTIVATE);
    expect(agent).to.include({ state: 'active', activatedBy: 'owner' });
  });

  it('knows no action 0 and no agent that is not there', async () => {
    const { id } = await plantAgent(authority);
    expect(await reasonOf(change(id, AgentAction.UNSPECIFIED))).to.equal('action_missing');
    expect(await reasonOf(change(randomBytes(16), AgentAction.RETIRE))).to.equal('agent_unknown');
  });

  const revokeTokens = (request: Parameters<typeof RevokeTokensRequest.fromPartial>[0]) =>
    client.call(
      Administration.revokeTokens,
      RevokeTokensRequest.fromPartial({
        idempotencyKey: randomBytes(8).toString('hex'),
        ...request,
      }),
    );

  it('revokes tokens by property with one audit entry, and leaves agents alone', async () => {
    const properties = { cluster: 'a' };
    const { id } = await plantAgent(authority, { properties });
    await plantToken(authority.context, { properties });
    await plantToken(authority.context, { properties });
    await plantToken(authority.context, { properties: { cluster: 'b' } });
    expect(await revokeTokens({ properties })).to.deep.equal({ revoked: 3 });
    expect(await auditOf('token.revoke')).to.deep.equal([
      { actor: 'owner', subject: 'cluster=a', outcome: 'done' },
    ]);
    expect((await change(id, AgentAction.SUSPEND)).agent?.state).to.equal('suspended');
  });

  it('revokes a batch of tokens, and with "revoke" everything that came from it', async () => {
    const batch = randomBytes(16);
    const { id } = await plantAgent(authority, { batch });
    await plantToken(authority.context, { batch });
    expect(await revokeTokens({ batchId: batch })).to.deep.equal({ revoked: 2 });
    const answer = await client.call(
      Administration.revoke,
      RevokeRequest.fromPartial({
        idempotencyKey: 'k',
        subject: { $case: 'batchId', value: batch },
      }),
    );
    expect(answer).to.include({ agents: 1, certificates: 1 });
    expect(await reasonOf(change(id, AgentAction.RESUME))).to.equal('agent_state');
  });

  it('lets others have their turn while it revokes a large batch', async () => {
    const batch = randomBytes(16);
    const count = 130;
    for (let planted = 0; planted < count; planted += 1) await plantAgent(authority, { batch });
    const { store } = authority.context;
    const banned = async ({ queries }: { queries: Queries }) =>
      (await queries.selectFrom('agent').select('id').where('state', '=', 'banned').execute())
        .length;
    const before = await banned(store);
    let meanwhile = before;
    const unsubscribe = store.onFeed(() => {
      unsubscribe();
      // Asked after the first piece is committed, and answered before the last begins.
      void store.transact(banned).then((found) => {
        meanwhile = found;
      });
    });
    const answer = await client.call(
      Administration.revoke,
      RevokeRequest.fromPartial({
        idempotencyKey: 'large',
        subject: { $case: 'batchId', value: batch },
      }),
    );
    expect(answer).to.include({ agents: count, certificates: count });
    expect(meanwhile - before).to.equal(128);
    expect(await banned(store)).to.equal(before + count);
  });

  for (const { name, call, reason } of [
    { name: 'nothing', call: () => revokeTokens({}), reason: 'selection_invalid' },
    {
      name: 'two things at once',
      call: () => revokeTokens({ id: randomBytes(16), batchId: randomBytes(16) }),
      reason: 'selection_invalid',
    },
    {
      name: 'a token there is not',
      call: () => revokeTokens({ id: randomBytes(16) }),
      reason: 'token_unknown',
    },
    {
      name: 'with an endless comment',
      call: () => revokeTokens({ id: randomBytes(16), reason: 'x'.repeat(1025) }),
      reason: 'comment_too_long',
    },
  ]) {
    it(`does not revoke ${name}`, async () => {
      expect(await reasonOf(call())).to.equal(reason);
    });
  }

  for (const { reason, refusal } of [
    { reason: 'certificateHold', refusal: 'unknown_revocation_reason' },
    { reason: 'bored', refusal: 'unknown_revocation_reason' },
  ]) {
    it(`refuses the revocation reason ${reason}`, async () => {
      const { serial } = await plantAgent(authority);
      const request = RevokeRequest.fromPartial({
        idempotencyKey: 'k',
        subject: { $case: 'serial', value: serial },
        reason,
      });
      expect(await reasonOf(client.call(Administration.revoke, request))).to.equal(refusal);
    });
  }

  const putPolicy = (name: string, document: string) =>
    client.call(
      Administration.putPolicy,
      PutPolicyRequest.fromPartial({
        idempotencyKey: randomBytes(8).toString('hex'),
        name,
        document,
      }),
    );

  it('adds versions to a policy, with every default written out', async () => {
    const document = { match: { roles: ['agent'], properties: { cluster: '*' } }, priority: 5 };
    const first = await putPolicy('cluster', JSON.stringify(document));
    expect(first.policy).to.include({ name: 'cluster', version: 1, createdBy: 'owner' });
    expect(JSON.parse(first.policy?.document ?? '')).to.deep.include({
      certificateSeconds: 86_400,
      priority: 5,
    });
    const second = await putPolicy('cluster', JSON.stringify({ ...document, priority: 6 }));
    expect(second.policy?.version).to.equal(2);
    const { policies } = await client.call(Administration.listPolicies, {});
    expect(
      policies.filter(({ name }) => name === 'cluster').map(({ version }) => version),
    ).to.deep.equal([2]);
  });

  for (const { name, document, reason } of [
    { name: 'x', document: 'not JSON', reason: 'policy_invalid' },
    { name: 'x', document: '{}', reason: 'policy_invalid' },
    { name: 'x', document: '{"match":{"roles":["authority"]}}', reason: 'policy_invalid' },
    { name: 'x', document: '{"match":{"roles":["agent"]},"extra":1}', reason: 'policy_invalid' },
    { name: 'x', document: ' '.repeat(16_385), reason: 'policy_invalid' },
    { name: '../x', document: '{"match":{"roles":["agent"]}}', reason: 'policy_name_invalid' },
  ]) {
    it(`refuses policy ${name} as ${document.slice(0, 40).trim()}`, async () => {
      expect(await reasonOf(putPolicy(name, document))).to.equal(reason);
    });
  }

  const advance = (request: Parameters<typeof AdvanceRotationRequest.fromPartial>[0]) =>
    client.call(
      Administration.advanceRotation,
      AdvanceRotationRequest.fromPartial({ idempotencyKey: 'k', ...request }),
    );

  it('takes a step of a rotation once for each key', async () => {
    const first = await advance({ kind: 'issuing', step: 'prepare' });
    expect(first.generation).to.include({ kind: 'issuing', number: 2, state: 'prepared' });
    const again = await advance({ kind: 'issuing', step: 'prepare' });
    expect(again.generation?.id).to.deep.equal(first.generation?.id);
    const { generations, gates } = await client.call(Administration.getRotation, {});
    expect(generations.filter(({ kind }) => kind === 'issuing')).to.have.length(2);
    expect(gates.map(({ step, kind }) => `${step} ${kind}`)).to.include('publish issuing');
  });

  for (const { name, request, reason } of [
    { name: 'of nothing', request: { step: 'prepare' }, reason: 'kind_missing' },
    { name: 'there is not', request: { kind: 'root', step: 'jump' }, reason: 'step_unknown' },
    {
      name: 'forced without a reason',
      request: { kind: 'root', step: 'prepare', force: true, reason: ' ' },
      reason: 'reason_missing',
    },
    {
      name: 'that does not apply',
      request: { kind: 'root', step: 'activate' },
      reason: 'wrong_state',
    },
  ]) {
    it(`refuses a step ${name}`, async () => {
      expect(await reasonOf(advance(request))).to.equal(reason);
    });
  }

  it('backs up the store while it is in use, to a file that is new', async () => {
    const path = join(authority.directory, 'copy.db');
    const answer = await client.call(Administration.backUp, { path });
    expect(Number(answer.bytes)).to.equal((await stat(path)).size);
    expect((await readFile(path)).subarray(0, 15).toString()).to.equal('SQLite format 3');
    expect(await reasonOf(client.call(Administration.backUp, { path }))).to.equal('store_refused');
    expect(await reasonOf(client.call(Administration.backUp, { path: 'copy.db' }))).to.equal(
      'path_invalid',
    );
    expect(await auditOf('store.backup')).to.have.length(1);
  });
});

describe('who may administer', () => {
  it('is refused everything when it is not the owner, before anything is read', async () => {
    // Root may do everything; a test that runs as root has to pretend that it is somebody else.
    const uid = process.getuid!();
    if (uid === 0) return;
    const authority = await startAdministeredAuthority({ ownUid: uid + 1 });
    const client = clientOf(authority);
    try {
      expect(await reasonOf(client.call(Administration.getStatus, {}))).to.equal('not_the_owner');
    } finally {
      await client.close();
      await authority.close();
    }
  });
});
