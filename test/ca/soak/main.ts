import { createHash, randomBytes } from 'node:crypto';
import { generateKeyPair, type KeyPair } from '../../../src/crypto/key-generation.ts';
import { parseCertificate } from '../../../src/pki/certificate.ts';
import { createTrustAnchors } from '../../../src/pki/trust-anchors.ts';
import { verifyChain } from '../../../src/pki/verify-chain.ts';
import {
  confirmDeed,
  type Deed,
  enrollDeed,
  type Given,
  type Minted,
  renewDeed,
} from '../crash/deeds.ts';
import { postgresHomes, sqliteHomes } from '../crash/homes.ts';
import { MortalAuthority } from './authority.ts';

/*
 * Hundreds of lifetimes of certificates on a fast clock: hosts renew, some late; the authority rotates
 * all its keys by itself, is killed at random, and now and then an operator goes back. After every half
 * day each host has to accept every other with the roots it has, and no invariant may be broken.
 *
 * node --import ./test/support/typescript.mjs test/ca/soak/main.ts [DAYS] [sqlite | postgres] [SEED]
 */
const [days = '150', kind = 'sqlite', seed = randomBytes(4).toString('hex')] =
  process.argv.slice(2);
const hour = 3_600_000;
const day = 24 * hour;
const crashPoints = [
  'rotate.after_key',
  'rotate.before_commit',
  'rotate.after_commit',
  'rotate.after_destroy',
  'bundle.after_insert',
  'write.before_commit',
  'write.after_commit',
  'write.before_commit:2',
];

/** What a host was given, with the rest of its chain. */
interface Chained extends Given {
  readonly chain: readonly Uint8Array[];
}

interface Host {
  keys: KeyPair;
  given: Chained;
  bundle: number;
  roots: readonly Uint8Array[];
  /** Half days in a row it has been offline. */
  away: number;
}

const homes = kind === 'postgres' ? await postgresHomes() : sqliteHomes;
if ('unavailable' in homes) {
  say(`skipped: ${homes.unavailable}`);
  process.exit(0);
}
const home = await homes.empty();
const start = Date.now();
const authority = new MortalAuthority(home.url, home.directory, start);
const taken = new Map<string, number>();
let renewals = 0;
let handshakes = 0;
let draws = 0;

const minted = (await done({ kind: 'mint', key: 'soak', count: 6 })) as readonly Minted[];
const hosts: Host[] = [];
for (const bundle of minted) {
  const keys = generateKeyPair('ecdsa-p256');
  const given = (await done({ kind: 'deed', deed: enrollDeed(bundle, keys) })) as Chained;
  const host: Host = { keys, given, bundle: 0, roots: [], away: 0 };
  await confirm(host);
  await learn(host);
  hosts.push(host);
}

for (let half = 0; half < 2 * Number(days); half += 1) {
  authority.ms += 12 * hour;
  if (chance(0.1)) await authority.kill();
  if (chance(0.25)) authority.crashAt = crashPoints[Math.floor(random() * crashPoints.length)];
  for (const step of (await done({ kind: 'tick' })) as readonly string[]) count(step);
  if (chance(0.02)) {
    const { refused } = await authority.ask({ kind: 'rollback' });
    count(refused === undefined ? 'rollback issuing' : 'rollback refused');
  }
  for (const host of hosts) {
    host.away = chance(0.1) && host.away < 6 ? host.away + 1 : 0;
    if (host.away > 0) continue;
    await renew(host);
    await learn(host);
  }
  expectHandshakes();
  const violations = (await done({ kind: 'check' })) as readonly object[];
  if (violations.length > 0) fail(`invariants broken: ${JSON.stringify(violations)}`);
}
await authority.stop();
await homes.remove(home);
const steps = [...taken].sort().map(([step, times]) => `${step} ${String(times)}`);
say(`${days} days of ${String(hosts.length)} hosts on ${kind}, seed ${seed}`);
say(
  `${String(renewals)} renewals, ${String(handshakes)} chains verified, ${String(authority.deaths)} deaths`,
);
say(`steps: ${steps.join(', ')}`);
say('no host was cut off, no invariant was broken');

async function renew(host: Host): Promise<void> {
  const next = generateKeyPair('ecdsa-p256');
  const deed = renewDeed(host.given, host.keys, next);
  host.given = (await done({ kind: 'deed', deed })) as Chained;
  host.keys = next;
  await confirm(host);
  renewals += 1;
}

async function confirm(host: Host): Promise<void> {
  await done({ kind: 'deed', deed: confirmDeed(host.given, host.keys) });
}

/** Follows trust, as far as roots go. */
async function learn(host: Host): Promise<void> {
  const bundle = (await done({ kind: 'bundle' })) as { sequence: number; roots: Uint8Array[] };
  host.bundle = bundle.sequence;
  host.roots = bundle.roots;
  await done({ kind: 'acknowledge', leaf: host.given.leaf, bundle: bundle.sequence });
}

/** Each host with an unexpired certificate is accepted by every other with the roots that has. */
function expectHandshakes(): void {
  for (const shown of hosts) {
    if (parseCertificate(shown.given.leaf).notAfter.getTime() <= authority.ms) continue;
    for (const judge of hosts) {
      try {
        verifyChain({
          certificates: shown.given.chain,
          anchors: createTrustAnchors(judge.roots.map(parseCertificate)),
          now: new Date(authority.ms),
          purpose: 'client',
        });
        handshakes += 1;
      } catch (error) {
        fail(
          `a host is cut off after ${String((authority.ms - start) / day)} days: ${String(error)}`,
        );
      }
    }
  }
}

/** A refusal here is a host that is cut off, or a step that cannot be taken. */
async function done(order: object): Promise<unknown> {
  const answer = await authority.ask(order);
  if (answer.refused !== undefined) fail(`${describe(order)} was refused: ${answer.refused}`);
  return answer.done;
}

function describe(order: object): string {
  const { kind: of, deed } = order as { kind: string; deed?: Deed };
  return deed === undefined ? of : deed.kind;
}

function count(step: string): void {
  taken.set(step, (taken.get(step) ?? 0) + 1);
}

function chance(share: number): boolean {
  return random() < share;
}

/** The same for the same seed. */
function random(): number {
  draws += 1;
  return (
    createHash('sha256')
      .update(`${seed}/${String(draws)}`)
      .digest()
      .readUInt32BE(0) /
    2 ** 32
  );
}

function fail(problem: string): never {
  say(`seed ${seed}: ${problem}`);
  process.exit(1);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
