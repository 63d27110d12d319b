import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Authority } from '../../../src/ca/index.ts';
import { Refused } from '../../../src/ca/issue/refusal.ts';
import { defaultCrlTiming } from '../../../src/ca/revocation/crl-schedule.ts';
import { generateKeyPair } from '../../../src/crypto/key-generation.ts';
import { parseCertificate } from '../../../src/pki/index.ts';
import { ServiceError } from '../../../src/rpc/errors.ts';
import { confirmDeed, type Deed, enrollDeed, type Given, perform, renewDeed } from './deeds.ts';
import type { Template } from './homes.ts';

/** A deed in which an authority dies, and what has to be true afterwards. */
export interface Scenario {
  readonly name: string;
  /** Points it comes by; those of `write` besides, after `inside`. */
  readonly points: readonly string[];
  /** The last point before the commit of the deed, as others commit meanwhile. */
  readonly inside: string;
  /** How much later than the template was made it takes place, by the clocks of all; default 0. */
  readonly laterMs?: number;
  /** Done before, in the same process. */
  readonly before?: readonly Deed[];
  readonly deed: (template: Template) => Deed;
  /**
   * Asks again, as its caller would. `committed`: the authority died after the commit of the deed.
   */
  readonly again: (
    authority: Authority,
    deed: Deed,
    crash: { readonly committed: boolean; readonly template: Template },
  ) => Promise<void>;
}

const rotate = (
  of: 'root' | 'token',
  step: 'prepare' | 'publish' | 'abort' | 'activate' | 'destroy',
) => ({ kind: 'rotate', of, step }) as const;

/** Retries of a rotation step: it is done once, whoever asks again. */
const stepAgain: Scenario['again'] = async (authority, deed) => {
  const reason = await reasonOf(perform(authority, deed));
  expect(['done', 'wrong_state', 'not_found']).to.include(reason);
};

const simply: Scenario['again'] = async (authority, deed) => {
  await perform(authority, deed);
};

const enrolPoints = [
  'enroll.after_check',
  'enroll.after_claim',
  'enroll.after_sign',
  'enroll.after_insert',
];
const renewPoints = [
  'renew.after_check',
  'renew.after_claim',
  'renew.after_sign',
  'renew.after_insert',
];
const newKey = () => generateKeyPair('ecdsa-p256');

export const scenarios: readonly Scenario[] = [
  {
    name: 'enrol, and ask again with the same key',
    points: enrolPoints,
    inside: 'enroll.after_insert',
    deed: ({ tokens }) => enrollDeed(tokens[0]!, newKey()),
    again: async (authority, deed, { template }) => {
      await sameAnswer(authority, deed);
      const [token] = template.tokens;
      expect(await reasonOf(perform(authority, enrollDeed(token!, newKey())))).to.equal(
        'token_spent',
      );
    },
  },
  {
    name: 'enrol, and ask again with another key',
    points: enrolPoints,
    inside: 'enroll.after_insert',
    deed: ({ tokens }) => enrollDeed(tokens[0]!, newKey()),
    again: async (authority, deed, { committed, template }) => {
      const other = enrollDeed(template.tokens[0]!, newKey());
      expect(await reasonOf(perform(authority, other))).to.equal(
        committed ? 'token_spent' : 'done',
      );
      expect(await reasonOf(perform(authority, deed))).to.equal(committed ? 'done' : 'token_spent');
    },
  },
  {
    name: 'renew, and ask again with the same key',
    points: renewPoints,
    inside: 'renew.after_insert',
    deed: ({ given, keys }) => renewDeed(given, keys, newKey()),
    again: (authority, deed) => sameAnswer(authority, deed),
  },
  {
    name: 'renew, and ask again with another key',
    points: renewPoints,
    inside: 'renew.after_insert',
    deed: ({ given, keys }) => renewDeed(given, keys, newKey()),
    again: async (authority, _deed, { committed, template: { given, keys } }) => {
      const other = renewDeed(given, keys, newKey());
      expect(await reasonOf(perform(authority, other))).to.equal(
        committed ? 'clone_suspected' : 'done',
      );
    },
  },
  {
    name: 'confirm',
    points: ['confirm.after_check', 'confirm.after_update'],
    inside: 'confirm.after_update',
    deed: ({ given, keys }) => confirmDeed(given, keys),
    again: simply,
  },
  {
    name: 'revoke a certificate',
    points: ['revoke.before_commit'],
    inside: 'revoke.before_commit',
    deed: ({ given }) => ({
      kind: 'revoke',
      subject: { kind: 'certificate', serial: parseCertificate(given.leaf).serialNumber },
    }),
    again: async (authority, deed, { template: { given, keys } }) => {
      await perform(authority, deed);
      const renewal = renewDeed(given, keys, newKey());
      expect(await reasonOf(perform(authority, renewal))).to.equal('certificate_revoked');
    },
  },
  {
    name: 'revoke a token and what came from it',
    points: ['revoke.before_commit'],
    inside: 'revoke.before_commit',
    deed: ({ tokens }) => ({
      kind: 'revoke',
      subject: { kind: 'token', id: tokenId(tokens[0]!.token) },
    }),
    again: async (authority, deed, { template }) => {
      await perform(authority, deed);
      const use = enrollDeed(template.tokens[0]!, newKey());
      expect(await reasonOf(perform(authority, use))).to.equal('token_revoked');
    },
  },
  {
    name: 'mint',
    points: ['mint.after_insert', 'mint.after_chunk'],
    inside: 'mint.after_insert',
    deed: () => ({ kind: 'mint', key: 'order', count: 600 }),
    again: async (authority, deed) => {
      const tokens = await perform(authority, deed);
      expect(new Set(tokens as readonly string[])).to.have.property('size', 600);
      expect(new Set((await perform(authority, deed)) as readonly string[])).to.deep.equal(
        new Set(tokens as readonly string[]),
      );
    },
  },
  {
    name: 'prepare a root',
    points: ['rotate.after_key', 'rotate.before_commit', 'rotate.after_commit'],
    inside: 'rotate.before_commit',
    deed: () => rotate('root', 'prepare'),
    again: stepAgain,
  },
  {
    name: 'publish a root',
    points: ['bundle.after_insert', 'rotate.before_commit', 'rotate.after_commit'],
    inside: 'rotate.before_commit',
    before: [rotate('root', 'prepare')],
    deed: () => rotate('root', 'publish'),
    again: stepAgain,
  },
  {
    name: 'activate a root',
    points: [
      'rotate.after_key',
      'bundle.after_insert',
      'rotate.before_commit',
      'rotate.after_commit',
    ],
    inside: 'rotate.before_commit',
    before: [rotate('root', 'prepare'), rotate('root', 'publish')],
    deed: () => rotate('root', 'activate'),
    again: async (authority, deed, crash) => {
      await stepAgain(authority, deed, crash);
      expect(authority.context.generations.signing('root').number).to.equal(2);
      await sameAnswer(authority, enrollDeed(crash.template.tokens[0]!, newKey()));
    },
  },
  {
    name: 'destroy a root that was given up',
    points: ['rotate.after_destroy', 'rotate.before_commit', 'rotate.after_commit'],
    inside: 'rotate.before_commit',
    before: [rotate('root', 'prepare'), rotate('root', 'abort')],
    deed: () => rotate('root', 'destroy'),
    again: stepAgain,
  },
  {
    name: 'prepare a token key',
    points: ['rotate.after_key', 'rotate.before_commit', 'rotate.after_commit'],
    inside: 'rotate.before_commit',
    deed: () => rotate('token', 'prepare'),
    again: stepAgain,
  },
  {
    name: 'publish CRLs',
    // A delta is due at the earliest so long after the one before.
    laterMs: 2 * defaultCrlTiming.minIntervalMs,
    points: ['crl.after_sign', 'crl.before_commit'],
    inside: 'crl.before_commit',
    before: [],
    deed: ({ given }) => ({
      kind: 'revoke-and-publish',
      serial: parseCertificate(given.leaf).serialNumber,
    }),
    again: simply,
  },
  {
    name: 'certify an OCSP responder',
    points: ['ocsp.before_commit'],
    inside: 'ocsp.before_commit',
    deed: () => ({ kind: 'ocsp' }),
    again: simply,
  },
];

/** Points of the start of an authority, and of its making, which no deed comes by. */
export const startPoints = {
  initialise: ['init.after_keys', 'bundle.after_insert'],
  open: ['crl.after_sign', 'crl.before_commit'],
};

/** Of every transaction. */
export const writePoints = ['write.before_commit', 'write.after_commit'];

/** Every point the source names, so that none is left out. */
export function namedPoints(directory: string): readonly string[] {
  const points = new Set<string>();
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
    const text = readFileSync(join(entry.parentPath, entry.name), 'utf8');
    for (const [, name] of text.matchAll(/\bcrashPoint\('([^']+)'\)/g)) points.add(name!);
  }
  return [...points].sort();
}

/** Asked twice more: it succeeds, and both answers are the same bytes. */
async function sameAnswer(authority: Authority, deed: Deed): Promise<void> {
  const first = (await perform(authority, deed)) as Given;
  const second = (await perform(authority, deed)) as Given;
  expect(Buffer.from(second.leaf)).to.deep.equal(Buffer.from(first.leaf));
  expect(second.renewalToken).to.equal(first.renewalToken);
}

async function reasonOf(attempt: Promise<unknown>): Promise<string> {
  try {
    await attempt;
    return 'done';
  } catch (error) {
    if (error instanceof Refused) return error.detail;
    if (error instanceof ServiceError) return error.reason;
    throw error;
  }
}

/** As it stands in the text: version, key id, then the id. */
function tokenId(text: string): Uint8Array {
  const payload = Buffer.from(text.split('.')[1] ?? '', 'base64url');
  return new Uint8Array(payload.subarray(9, 25));
}
