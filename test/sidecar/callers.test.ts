import { expect } from 'chai';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ServiceError } from '../../src/rpc/errors.ts';
import { CallerPolicy } from '../../src/sidecar/callers.ts';
import type { AllowRule } from '../../src/sidecar/config.ts';

const ownUid = 500;
const token = 'web-token-0123456789';

describe('CallerPolicy', () => {
  let directory: string;
  let tokenFile: string;

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'sidekey-callers-'));
    tokenFile = join(directory, 'token');
    writeFileSync(tokenFile, token);
  });

  after(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  function policy(allow: (tokenFile: string) => readonly AllowRule[]): CallerPolicy {
    return new CallerPolicy(
      { address: { kind: 'unix', path: '/s' }, mode: 0o600, allow: allow(tokenFile) },
      ownUid,
    );
  }

  const user = (uid: number, gid = 100) => ({ uid, gid, pid: 1 });
  const cases: {
    name: string;
    allow: (tokenFile: string) => readonly AllowRule[];
    credentials?: { uid: number; gid: number; pid: number };
    tokens?: readonly string[];
    identities?: 'all' | readonly string[];
    reason?: string;
  }[] = [
    {
      name: 'our own user without rules',
      allow: () => [],
      credentials: user(500),
      identities: 'all',
    },
    {
      name: 'another user without rules',
      allow: () => [],
      credentials: user(501),
      reason: 'caller_not_allowed',
    },
    { name: 'nobody we can see, without rules', allow: () => [], reason: 'caller_not_allowed' },
    {
      name: 'our own user when rules leave him out',
      allow: () => [{ uid: 1000, identities: ['web'] }],
      credentials: user(500),
      reason: 'caller_not_allowed',
    },
    {
      name: 'a user by uid',
      allow: () => [{ uid: 1000, identities: ['web'] }],
      credentials: user(1000),
      identities: ['web'],
    },
    {
      name: 'a user by gid',
      allow: () => [{ gid: 100, identities: ['web'] }],
      credentials: user(7),
      identities: ['web'],
    },
    {
      name: 'a user whose uid fits and whose gid does not',
      allow: () => [{ uid: 7, gid: 101, identities: ['web'] }],
      credentials: user(7),
      reason: 'caller_not_allowed',
    },
    {
      name: 'a token',
      allow: (path) => [{ tokenFile: path, identities: ['web'] }],
      tokens: [token],
      identities: ['web'],
    },
    {
      name: 'a token among others',
      allow: (path) => [{ tokenFile: path, identities: ['web'] }],
      tokens: ['wrong-token-0123456789', token],
      identities: ['web'],
    },
    {
      name: 'a wrong token',
      allow: (path) => [{ tokenFile: path, identities: ['web'] }],
      tokens: ['wrong-token-0123456789'],
      reason: 'token_unknown',
    },
    {
      name: 'no token',
      allow: (path) => [{ tokenFile: path, identities: ['web'] }],
      reason: 'token_missing',
    },
    {
      name: 'the right token of the wrong user, where both are asked for',
      allow: (path) => [{ uid: 1000, tokenFile: path, identities: ['web'] }],
      credentials: user(1001),
      tokens: [token],
      reason: 'token_unknown',
    },
    {
      name: 'the first rule that fits',
      allow: (path) => [
        { uid: 1001, identities: ['other'] },
        { uid: 1000, identities: ['web'] },
        { tokenFile: path, identities: ['api'] },
      ],
      credentials: user(1000),
      tokens: [token],
      identities: ['web'],
    },
  ];
  for (const { name, allow, credentials, tokens = [], identities, reason } of cases) {
    it(`${identities === undefined ? 'refuses' : 'lets in'} ${name}`, () => {
      if (identities !== undefined) {
        const caller = policy(allow).identify(credentials, tokens);
        expect(caller.identities === 'all' ? 'all' : [...caller.identities]).to.deep.equal(
          identities,
        );
      } else {
        expect(() => policy(allow).identify(credentials, tokens))
          .to.throw(ServiceError)
          .with.property('reason', reason);
      }
    });
  }

  it('ignores tokens where no rule asks for one', () => {
    const caller = policy(() => []).identify(user(500), ['whatever-0123456789']);
    expect(caller.identities).to.equal('all');
  });

  it('needs the kernel to name callers unless a rule does without', () => {
    expect(policy(() => []).requiresCredentials).to.equal(true);
    expect(
      policy((path) => [{ uid: 1, tokenFile: path, identities: ['web'] }]).requiresCredentials,
    ).to.equal(true);
    expect(
      policy((path) => [
        { uid: 1, identities: ['web'] },
        { tokenFile: path, identities: ['web'] },
      ]).requiresCredentials,
    ).to.equal(false);
  });

  it('reports token files that cannot be read', () => {
    const broken = policy(() => [{ tokenFile: join(directory, 'none'), identities: ['web'] }]);
    expect(broken.problems.join()).to.contain('ENOENT');
  });
});
