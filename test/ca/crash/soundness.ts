import { expect } from 'chai';
import { pino } from 'pino';
import { checkInvariants } from '../../../src/ca/check/check.ts';
import { openStore } from '../../../src/ca/store/open.ts';
import type { Home } from './replica.ts';

/** Nothing that must never be is in the store of an authority that does not run. */
export async function expectSound({ url }: Home): Promise<void> {
  const now = (): Date => new Date();
  const store = await openStore({ url, now, log: pino({ level: 'silent' }) });
  try {
    const violations = await store.snapshot((queries) => checkInvariants(queries, { now: now() }));
    expect(violations).to.deep.equal([]);
  } finally {
    await store.close();
  }
}
