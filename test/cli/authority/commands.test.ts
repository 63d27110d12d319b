import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { CommitUnknownError } from '../../../src/ca/store/store.ts';
import { formatUuid } from '../../../src/cli/authority/identifiers.ts';
import {
  type AdministeredAuthority,
  plantAgent,
  plantToken,
  startAdministeredAuthority,
} from '../../ca/administration/administered-authority.ts';
import { type CommandResult, runCommand } from './run-command.ts';

describe('commands of an authority', () => {
  let authority: AdministeredAuthority;
  let directory: string;

  before(async () => {
    authority = await startAdministeredAuthority();
    directory = await mkdtemp(join(tmpdir(), 'sidekey-commands-'));
  });

  after(async () => {
    await authority.close();
    await rm(directory, { recursive: true, force: true });
  });

  const sidekey = (...argv: readonly string[]): Promise<CommandResult> =>
    runCommand([...argv, '--authority', authority.address]);
  /** Parsed output of a command that succeeds. */
  const json = async (...argv: readonly string[]): Promise<any> => {
    const { code, out, err } = await sidekey(...argv, '--output', 'json');
    expect(code, err).to.equal(0);
    return JSON.parse(out);
  };

  it('token create writes a file for each bundle, for its owner only', async () => {
    const out = join(directory, 'bundles');
    const answer = await json(
      ...['token', 'create', '--role', 'agent', '--count', '7', '--out', out],
      ...['--property', 'cluster=a', '--property', 'zone=1', '--ttl', '2h', '--cap', '3'],
    );
    expect(answer.batch).to.match(/^[0-9a-f]{32}$/u);
    const files = (await readdir(out)).sort();
    expect(answer.bundles.map(({ file }: { file: string }) => file).sort()).to.deep.equal(
      files.map((file) => join(out, file)),
    );
    for (const { token, file } of answer.bundles) {
      expect(await readFile(file, 'utf8')).to.equal(`bundle of ${String(token)}\n`);
      expect((await stat(file)).mode & 0o777).to.equal(0o600);
    }
    expect((await stat(out)).mode & 0o777).to.equal(0o700);
    expect(authority.minted.at(-1)).to.deep.include({
      role: 'agent',
      properties: { cluster: 'a', zone: '1' },
      lifetimeMs: 7_200_000,
      count: 7,
      cap: 3,
      policy: undefined,
    });
  });

  it('token create names files as asked, and never replaces one', async () => {
    const out = join(directory, 'named');
    const create = ['token', 'create', '--role', 'agent', '--out', out, '--name', 'web'];
    expect((await sidekey(...create)).out).to.contain(`${join(out, 'web.bundle')}\nbatch `);
    const before = await readFile(join(out, 'web.bundle'));
    const again = await sidekey(...create);
    expect(again.code).to.equal(1);
    expect(again.err).to.contain('EEXIST');
    expect(await readFile(join(out, 'web.bundle'))).to.deep.equal(before);
    await sidekey(...create, '--count', '2');
    expect((await readdir(out)).sort()).to.deep.equal([
      'web-00001.bundle',
      'web-00002.bundle',
      'web.bundle',
    ]);
  });

  it('token create tells progress of long work on standard error', async () => {
    const { out, err } = await sidekey(
      ...['token', 'create', '--role', 'agent', '--count', '1000'],
      ...['--out', join(directory, 'many')],
    );
    expect(err).to.contain('1000 of 1000 tokens minted');
    expect(out).to.contain(`1000 bundles in ${join(directory, 'many')}`);
  });

  it('token list, show and revoke', async () => {
    const token = (await plantToken(authority.context, { properties: { shelf: 'b' } })).toString(
      'hex',
    );
    const listed = await sidekey('token', 'list', '--property', 'shelf=b');
    expect(listed.out.split('\n')[0]).to.match(/^TOKEN +STATE +KIND/u);
    expect(listed.out).to.match(new RegExp(`${token} +usable +enroll +agent +0/1`, 'u'));
    expect((await json('token', 'list', '--property', 'shelf=b'))[0]).to.include({
      id: token,
      state: 'usable',
    });
    expect((await sidekey('token', 'show', token)).out).to.contain('shelf=b');
    expect(await json('token', 'revoke', token, '--reason', 'lost')).to.deep.equal({ revoked: 1 });
    expect(await json('token', 'show', token)).to.include({ state: 'revoked', revokedWhy: 'lost' });
  });

  it('agents list, show and change', async () => {
    const { id, spiffeId } = await plantAgent(authority, { properties: { rack: '7' } });
    const uuid = formatUuid(id);
    expect((await json('agents', 'list', '--property', 'rack=7'))[0]).to.include({
      id: uuid,
      spiffeId,
      state: 'active',
    });
    expect((await sidekey('agents', 'show', uuid)).out).to.contain(spiffeId);
    const suspended = await sidekey('agents', 'suspend', spiffeId, '--reason', 'holiday');
    expect(suspended.out).to.equal(`${spiffeId} is suspended\n`);
    expect(await json('agents', 'show', spiffeId)).to.include({
      state: 'suspended',
      stateWhy: 'holiday',
    });
    const wrong = await sidekey('agents', 'activate', uuid);
    expect(wrong).to.include({ code: 1, out: '' });
    expect(wrong.err).to.contain('reason agent_state');
    expect((await sidekey('agents', 'resume', uuid)).out).to.equal(`${spiffeId} is active\n`);
  });

  it('agents revoke ends one for good, and agents recover writes a bundle', async () => {
    const { id } = await plantAgent(authority);
    const uuid = formatUuid(id);
    const out = join(directory, 'recovery');
    const recovered = await sidekey(
      'agents',
      'recover',
      uuid,
      '--out',
      out,
      '--reason',
      'new disk',
    );
    expect(recovered.out).to.equal(`${join(out, `recover-${uuid}.bundle`)}\n`);
    const revoked = await json('agents', 'revoke', uuid, '--reason', 'keyCompromise');
    expect(revoked).to.include({ agents: 1, certificates: 1 });
    expect((await sidekey('agents', 'revoke', uuid)).out).to.equal('was revoked before\n');
    expect((await json('agents', 'list', '--state', 'banned'))[0]).to.include({ id: uuid });
  });

  it('agents revoke ends all who came from a batch, or from a token', async () => {
    const batch = randomBytes(16);
    await plantAgent(authority, { batch });
    const { token } = await plantAgent(authority, { batch });
    const one = await sidekey('agents', 'revoke', '--token', token.toString('hex'));
    expect(one.out).to.match(/^1 agent revoked with 1 certificate and 1 token; /u);
    const rest = await json('agents', 'revoke', '--batch', batch.toString('hex'));
    expect(rest).to.include({ agents: 1, certificates: 1 });
    const none = await sidekey('agents', 'revoke', '--batch', batch.toString('hex'));
    expect(none.out).to.equal('no agent is left; 0 tokens revoked\n');
  });

  it('asks again, and changes things once, where the store went away during a commit', async () => {
    const { id } = await plantAgent(authority);
    const { store } = authority.context;
    const transact = store.transact.bind(store);
    let failures = 1;
    Object.assign(store, {
      transact: async (work: Parameters<typeof transact>[0]) => {
        const result = await transact(work);
        if (failures > 0) {
          failures -= 1;
          throw new CommitUnknownError('the connection went away');
        }
        return result;
      },
    });
    try {
      expect(await json('agents', 'revoke', formatUuid(id))).to.include({ agents: 1 });
    } finally {
      Object.assign(store, { transact });
    }
    expect(failures).to.equal(0);
    const revocations = await json('audit', 'list', '--action', 'agent.revoke');
    const ours = revocations.filter(({ subject }: any) => subject === id.toString('hex'));
    expect(ours).to.have.length(1);
  });

  it('certificates list, show and revoke', async () => {
    const { id, serial } = await plantAgent(authority);
    const [listed] = await json('certificates', 'list', '--agent', formatUuid(id));
    expect(listed).to.include({ serial: serial.toString('hex'), agentId: formatUuid(id) });
    const colons = serial.toString('hex').match(/../gu)!.join(':');
    const shown = await sidekey('certificates', 'show', colons);
    expect(shown.out).to.contain('-----BEGIN CERTIFICATE-----');
    expect((await json('certificates', 'revoke', colons)).certificates).to.equal(1);
    expect(await json('certificates', 'show', colons)).to.include({ state: 'revoked' });
  });

  it('rotate status, and steps', async () => {
    const prepared = await sidekey('rotate', 'prepare', 'enrolment');
    expect(prepared.out).to.equal('enrolment 2 is prepared\n');
    const { out } = await sidekey('rotate', 'status');
    expect(out).to.match(/enrolment +2 +prepared/u);
    expect(out).to.match(/publish +enrolment 2/u);
    const again = await sidekey('rotate', 'prepare', 'enrolment');
    expect(again.code).to.equal(1);
    expect(again.err).to.contain('wrong_state');
    expect((await json('rotate', 'abort', 'enrolment')).state).to.equal('aborted');
    const tainted = await json('rotate', 'taint', 'enrolment', '--reason', 'a test');
    expect(tainted).to.include({ kind: 'enrolment', number: 1, state: 'tainted' });
  });

  it('tls-policy show, set and report', async () => {
    expect(await json('tls-policy', 'show')).to.deep.equal({
      version: 0,
      minVersion: 'TLSv1.2',
      listeners: {},
    });
    const old = await sidekey('tls-policy', 'set', '--min-version', 'TLSv1.0');
    expect(old.code).to.equal(1);
    expect(old.err).to.contain('RFC 8996');
    const { spiffeId } = await plantAgent(authority);
    const report = await sidekey('tls-policy', 'report', '--min-version', 'TLSv1.3');
    expect(report.out).to.contain(`${spiffeId} has not reported what it speaks`);
    const forced = await sidekey(
      ...['tls-policy', 'set', '--min-version', 'TLSv1.3', '--listener', 'sidecar'],
      ...['--force', '--reason', 'a test'],
    );
    expect(forced.out).to.match(/sidecar +TLSv1\.3 +policy/u);
    await sidekey('tls-policy', 'set', '--min-version', 'default', '--listener', 'sidecar');
    expect((await json('tls-policy', 'show')).listeners).to.deep.equal({});
  });

  it('policy put and list', async () => {
    const file = join(directory, 'policy.json');
    await writeFile(file, JSON.stringify({ match: { roles: ['agent'] }, priority: 3 }));
    expect((await sidekey('policy', 'put', 'racks', '--file', file)).out).to.equal(
      'racks is at version 1\n',
    );
    const racks = (await json('policy', 'list')).find(
      ({ name }: { name: string }) => name === 'racks',
    );
    expect(racks.document.priority).to.equal(3);
    await writeFile(file, '{}');
    const bad = await sidekey('policy', 'put', 'racks', '--file', file);
    expect(bad.code).to.equal(1);
    expect(bad.err).to.contain('policy_invalid');
  });

  it('audit list and verify', async () => {
    const [first, second] = await json('audit', 'list', '--limit', '2');
    expect([first.seq, second.seq]).to.deep.equal([1, 2]);
    expect(first.action).to.be.a('string');
    expect((await json('audit', 'list', '--after', '1', '--limit', '1'))[0].seq).to.equal(2);
    const verified = await json('audit', 'verify');
    expect(verified.holds).to.equal(true);
    expect((await sidekey('audit', 'verify')).out).to.match(/^\d+ entries, head [0-9a-f]{64}\n$/u);
  });

  it('audit verify ends with 1 where the log was changed', async () => {
    const broken = await startAdministeredAuthority();
    try {
      await broken.context.store.transact(async ({ queries }) => {
        const row = await queries.selectFrom('audit').selectAll().executeTakeFirstOrThrow();
        await queries
          .insertInto('audit')
          .values({ ...row, seq: 1000, previous_hash: randomBytes(32) })
          .execute();
        await queries
          .updateTable('counter')
          .set({ value: 1000 })
          .where('name', '=', 'audit')
          .execute();
      });
      const result = await runCommand(['audit', 'verify', '--authority', broken.address]);
      expect(result.code).to.equal(1);
      expect(result.out).to.contain('broken after');
    } finally {
      await broken.close();
    }
  });

  it('authority status and backup', async () => {
    const status = await json('authority', 'status');
    expect(status).to.include({ trustDomain: 'example.org', enrolmentMode: 'closed' });
    expect((await sidekey('authority', 'status')).out).to.match(/issuing +yes/u);
    const file = join(directory, 'copy.db');
    expect((await json('authority', 'backup', '--out', file)).bytes).to.equal(
      (await stat(file)).size,
    );
    expect((await sidekey('authority', 'backup', '--out', file)).code).to.equal(1);
  });

  it('doctor prints what is wrong and what to do, and ends with 1 if it hurts', async () => {
    const { code, out } = await sidekey('doctor');
    expect(out).to.not.contain('issuing');
    expect(out).to.match(/\d+ errors +\d+ warnings +\d+ in order/u);
    const findings = await runCommand([
      ...['doctor', '--authority', authority.address, '--output', 'json'],
      ...['--reach', '127.0.0.1:1', '--sidecar', `unix:${directory}/none.sock`],
    ]);
    expect(code).to.be.oneOf([0, 1]);
    expect(findings.code).to.equal(1);
    const errors = (JSON.parse(findings.out) as { check: string; severity: string }[])
      .filter(({ severity }) => severity === 'error')
      .map(({ check }) => check);
    expect(errors).to.include.members(['reach', 'sidecar']);
  });

  it('doctor says that the authority is away', async () => {
    const { code, out } = await runCommand([
      ...['doctor', '--authority', `unix:${directory}/none.sock`],
    ]);
    expect(code).to.equal(1);
    expect(out).to.contain('authority: no authority answers at');
  });

  it('one line on standard error and 1 where nobody answers', async () => {
    const address = `unix:${directory}/none.sock`;
    const { code, out, err } = await runCommand(['agents', 'list', '--authority', address]);
    expect({ code, out }).to.deep.equal({ code: 1, out: '' });
    expect(err).to.match(/^sidekey: no authority answers at unix:\S+: .*\n$/u);
  });

  it('finds the authority by SIDEKEY_AUTHORITY', async () => {
    process.env['SIDEKEY_AUTHORITY'] = authority.address;
    try {
      expect((await runCommand(['authority', 'status'])).code).to.equal(0);
    } finally {
      delete process.env['SIDEKEY_AUTHORITY'];
    }
  });
});

const at = ['--authority', 'unix:/x'];
const badUsage: readonly { readonly argv: readonly string[]; readonly says: string }[] = [
  { argv: ['token', 'list'], says: '--authority' },
  { argv: ['token', 'list', '--authority', 'nowhere'], says: 'HOST:PORT' },
  { argv: ['token', 'list', '--authority', 'a:1'], says: 'needs --sidecar' },
  { argv: ['token', 'create', ...at, '--out', 'x'], says: '--role' },
  { argv: ['token', 'create', ...at, '--role', 'authority', '--out', 'x'], says: 'agent, manager' },
  { argv: ['token', 'create', ...at, '--role', 'agent'], says: '--out' },
  {
    argv: ['token', 'create', ...at, '--role', 'agent', '--out', 'x', '--ttl', '1y'],
    says: '30m, 24h or 7d',
  },
  {
    argv: ['token', 'create', ...at, '--role', 'agent', '--out', 'x', '--property', 'x'],
    says: 'NAME=VALUE',
  },
  {
    argv: [
      ...['token', 'create', ...at, '--role', 'agent', '--out', 'x'],
      ...['--property', 'x=1', '--property', 'x=2'],
    ],
    says: 'x is given twice',
  },
  {
    argv: ['token', 'create', ...at, '--role', 'agent', '--out', 'x', '--count', '0'],
    says: 'whole number',
  },
  {
    argv: ['token', 'create', ...at, '--role', 'agent', '--out', 'x', '--name', '../x'],
    says: 'letters, digits',
  },
  { argv: ['token', 'show', ...at, 'xyz'], says: '32 hexadecimal digits' },
  { argv: ['token', 'revoke', ...at], says: 'give one of' },
  { argv: ['token', 'revoke', ...at, 'a'.repeat(32), '--property', 'a=b'], says: 'give one of' },
  { argv: ['agents', 'show', ...at, 'spiffe://A'], says: 'not a SPIFFE ID' },
  { argv: ['agents', 'revoke', ...at, 'a'.repeat(32), '--reason', 'x'], says: 'keyCompromise' },
  { argv: ['agents', 'revoke', ...at], says: 'give one of' },
  {
    argv: ['agents', 'revoke', ...at, 'a'.repeat(32), '--batch', 'b'.repeat(32)],
    says: 'give one of',
  },
  { argv: ['agents', 'recover', ...at, 'a'.repeat(32), '--out', 'x'], says: '--reason' },
  { argv: ['certificates', 'show', ...at, 'x'], says: 'serial number' },
  { argv: ['rotate', 'prepare', ...at, 'moon'], says: 'root, issuing' },
  { argv: ['rotate', 'retire', ...at, 'root', '--force'], says: 'needs --reason' },
  { argv: ['rotate', 'taint', ...at, 'root'], says: 'taint needs --reason' },
  { argv: ['tls-policy', 'set', ...at], says: '--min-version' },
  { argv: ['tls-policy', 'set', ...at, '--min-version', 'default'], says: 'needs --listener' },
  {
    argv: ['tls-policy', 'set', ...at, '--min-version', 'TLSv1.3', '--force'],
    says: 'needs --reason',
  },
  { argv: ['policy', 'put', ...at, 'x'], says: '--file' },
  { argv: ['audit', 'list', ...at, '--after', 'x'], says: 'sequence number' },
  { argv: ['doctor', ...at, '--reach', 'x'], says: 'HOST:PORT' },
  { argv: ['enroll', '--sidecar', 'unix:/x'], says: '--bundle' },
  { argv: ['agents', 'list', ...at, '--output', 'xml'], says: 'table, json' },
];

describe('command lines about an authority', () => {
  for (const { argv, says } of badUsage) {
    it(`ends with 2 and says why: sidekey ${argv.join(' ').slice(0, 90)}`, async () => {
      const { code, err } = await runCommand(argv);
      expect(code).to.equal(2);
      expect(err).to.contain(says);
    });
  }
});
