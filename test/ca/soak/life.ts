import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import {
  CryptoPool,
  initialiseAuthority,
  openAuthority,
  openDiskKeys,
} from '../../../src/ca/index.ts';
import { checkInvariants } from '../../../src/ca/check/check.ts';
import { armCrashPoint } from '../../../src/ca/crash-points.ts';
import { Refused } from '../../../src/ca/issue/refusal.ts';
import { RotationDriver } from '../../../src/ca/rotation/driver.ts';
import { defaultRotationSettings } from '../../../src/ca/rotation/settings.ts';
import { openStore } from '../../../src/ca/store/open.ts';
import { currentBundle, readBundle } from '../../../src/ca/trust/bundle-document.ts';
import { ServiceError } from '../../../src/rpc/errors.ts';
import { parseCertificate } from '../../../src/pki/certificate.ts';
import { type Deed, mint, perform } from '../crash/deeds.ts';

/** What the authority of a soak is told. */
export type Order = { readonly at: number; readonly crashAt?: string } & (
  | { readonly kind: 'deed'; readonly deed: Deed }
  | { readonly kind: 'mint'; readonly key: string; readonly count: number }
  /** The automatic mode looks what is due. */
  | { readonly kind: 'tick' }
  /** An operator changes his mind, if there is a way back. */
  | { readonly kind: 'rollback' }
  | { readonly kind: 'bundle' }
  /** A host says by its certificate which bundle it has. */
  | { readonly kind: 'acknowledge'; readonly leaf: Uint8Array; readonly bundle: number }
  | { readonly kind: 'check' }
);

const day = 86_400_000;

const lifetimesMs = { root: 60 * day, issuing: 20 * day, enrolment: 30 * day };

// Lives until it is killed, on a clock that its orders set.
const [url = '', directory = '', begin = '0', mode = 'open'] = process.argv.slice(2);
let ms = Number(begin);
const now = (): Date => new Date(ms);
const log = pino({ level: 'silent' });
const pool = new CryptoPool({ threads: 0 });
const keys = await openDiskKeys({ directory: join(directory, 'keys'), pool, random: randomBytes });
const addresses = ['ca.example.org:8443'];
if (mode === 'initialise') {
  await initialiseAuthority({
    store: { url, now, log },
    keys,
    trustDomain: 'example.org',
    addresses,
    lifetimesMs,
    random: randomBytes,
    log,
  });
}
const authority = await openAuthority({
  store: await openStore({ url, now, log, witnessPath: join(directory, 'witness') }),
  keys,
  pool,
  replicaId: 'replica-1',
  addresses,
  version: '0',
  mode: 'closed',
  connections: { origin: () => undefined, cut: () => undefined },
  registry: new Registry(),
  rotation: { automatic: false },
  now,
  random: randomBytes,
  log,
});
const { context } = authority;
const driver = new RotationDriver({
  context,
  tokenKeys: context.tokenKeys,
  settings: {
    ...defaultRotationSettings,
    lifetimesMs,
    tokenKeyLifetimeMs: 15 * day,
    overlapMs: 2 * day,
  },
});

process.on('message', (order: Order) => {
  ms = Math.max(ms, order.at);
  if (order.crashAt !== undefined) armCrashPoint(order.crashAt);
  answer(order).then(
    (done) => process.send?.({ done }),
    (error: unknown) => process.send?.({ refused: reasonOf(error) }),
  );
});
process.on('disconnect', () => {
  void authority.close().then(() => process.exit(0));
});
process.send?.({ ready: true });

async function answer(order: Order): Promise<unknown> {
  switch (order.kind) {
    case 'deed':
      return withChain(await perform(authority, order.deed));
    case 'mint':
      return await mint(authority, order);
    case 'tick':
      return (await driver.tick()).map(({ kind, step }) => `${step} ${kind}`);
    case 'rollback': {
      const result = await authority.rotation.advance({
        kind: 'issuing',
        step: 'rollback',
        caller: { name: 'owner' },
      });
      return [result.state];
    }
    case 'bundle': {
      const bundle = await currentBundle(context.store.queries);
      if (bundle === undefined) throw new Error('there is no trust bundle');
      return { sequence: bundle.sequence, roots: readBundle(bundle.document).roots };
    }
    case 'acknowledge': {
      await context.store.transact(async ({ queries, now: at }) => {
        const { serialNumber } = parseCertificate(order.leaf);
        await queries
          .updateTable('agent')
          .set({ bundle_ack: order.bundle, last_seen_at: at })
          .where('current_serial', '=', serialNumber)
          .execute();
      });
      return;
    }
    case 'check':
      return await checkInvariants(context.store.queries, { now: now() });
  }
}

/** What a host was given, with the rest of its chain. */
function withChain(given: Awaited<ReturnType<typeof perform>>): unknown {
  if (given === undefined || !('leaf' in given)) return given;
  const { issuer } = parseCertificate(given.leaf);
  const signer = context.generations.all().find(({ certificate }) => {
    return Buffer.from(certificate.subject).equals(issuer);
  });
  if (signer === undefined) throw new Error('a leaf of no CA of this authority');
  return { ...given, chain: [given.leaf, ...context.generations.chainOf(signer)] };
}

function reasonOf(error: unknown): string {
  if (error instanceof Refused) return error.detail;
  if (error instanceof ServiceError) return error.reason;
  return String(error);
}
