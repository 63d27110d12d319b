import { expect } from 'chai';
import { generateKeyPair, type KeyPair } from '../../../src/crypto/key-generation.ts';
import { parseCertificate, spiffeIdOf } from '../../../src/pki/index.ts';
import { Child, type Fate } from './child.ts';
import { enrollDeed, type Given, type Minted, renewDeed } from './deeds.ts';
import type { Home } from './replica.ts';

/** What became of tokens that several replicas were asked for at once. */
export interface RaceCounts {
  races: number;
  /** Of requests that got an answer to their own key; one in each race. */
  won: number;
  /** Refused, as the token was spent. */
  lost: number;
  /** Asked again, since the replica could not say. */
  retried: number;
}

/** Starts replicas of an authority, each a process of its own; their clocks may differ. */
export async function startReplicas(
  home: Home,
  clockOffsetsMs: readonly number[],
): Promise<readonly Child[]> {
  const replicas: Child[] = [];
  for (const [index, clockOffsetMs] of clockOffsetsMs.entries()) {
    const replica = new Child(home, { replicaId: `replica-${String(index + 1)}`, clockOffsetMs });
    expect(await replica.started()).to.equal(undefined);
    replicas.push(replica);
  }
  return replicas;
}

/**
 * Races for tokens: each is shown to every replica at once, with another key, so many races at a time.
 * Exactly one of them has to win each.
 */
export async function raceForTokens(
  replicas: readonly Child[],
  tokens: readonly Minted[],
  counts: RaceCounts,
): Promise<void> {
  const keys = replicas.map(() => generateKeyPair('ecdsa-p256'));
  const waiting = [...tokens];
  const racer = async (): Promise<void> => {
    for (let token = waiting.pop(); token !== undefined; token = waiting.pop()) {
      const fates = await Promise.all(
        replicas.map((replica, index) => insist(replica, token, keys[index]!, counts)),
      );
      counts.races += 1;
      const winners = fates.filter((fate) => 'done' in fate);
      expect(winners, JSON.stringify(fates)).to.have.length(1);
      for (const fate of fates) {
        if (!('done' in fate)) expect(fate).to.deep.equal({ refused: 'token_spent' });
      }
      counts.won += 1;
      counts.lost += fates.length - 1;
    }
  };
  await Promise.all(Array.from({ length: concurrentRaces }, racer));
}

/** Two holders of one identity renew at two replicas at once: one of them gets it. */
export async function raceToRenew(
  replicas: readonly Child[],
  current: Given,
  keys: KeyPair,
): Promise<readonly Fate[]> {
  return await Promise.all(
    replicas.map((replica) => replica.do(renewDeed(current, keys, generateKeyPair('ecdsa-p256')))),
  );
}

/** Asks until it is told what became of it, as hosts do. */
async function insist(
  replica: Child,
  token: Minted,
  keys: KeyPair,
  counts: RaceCounts,
): Promise<Fate> {
  for (;;) {
    const fate = await replica.do(enrollDeed(token, keys));
    if (!('refused' in fate) || !passing.has(fate.refused)) return fate;
    counts.retried += 1;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** The agent of a certificate. */
export function agentOf({ leaf }: Given): string | undefined {
  return spiffeIdOf(parseCertificate(leaf));
}

/** Reasons that say nothing about the token. */
const passing = new Set(['store_unavailable', 'busy']);
const concurrentRaces = 32;
