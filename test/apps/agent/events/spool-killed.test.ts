import { expect } from 'chai';
import { EventSpool } from '../../../../src/apps/agent/events/event-spool.ts';
import { StateDirectory } from '../../../../src/identity/index.ts';
import { killedAtEveryStep } from '../../../support/stopping-disk.ts';
import { stillSurroundings } from '../support/surroundings.ts';
import { EventPuller } from './event-puller.ts';

/** Two or three events fill a segment. */
const options = { maxBytes: 2048, ...stillSurroundings() };

async function withSpool(path: string, work: (spool: EventSpool) => Promise<void>): Promise<void> {
  const directory = await StateDirectory.open(path);
  let spool: EventSpool | undefined;
  try {
    spool = await EventSpool.open(directory, options);
    await work(spool);
  } finally {
    await spool?.close();
    await directory.close();
  }
}

describe('events of an agent that is killed at any step', () => {
  for (const { name, pulls } of [
    { name: 'pulled', pulls: true },
    { name: 'dropped for want of room', pulls: false },
  ]) {
    it(`come once each, as they were, with gaps for what is missing, when they are ${name}`, async () => {
      let puller = new EventPuller();
      let durable = new Map<number, string>();
      const steps = await killedAtEveryStep({
        run: async ({ directory }) => {
          puller = new EventPuller();
          durable = new Map();
          await withSpool(directory, async (spool) => {
            for (let count = 1; count <= (pulls ? 12 : 24); count += 1) {
              const { head } = spool;
              spool.add('problem', `event ${String(count)}`);
              await spool.settled();
              // What it shows it never takes back.
              if (spool.head > head) durable.set(spool.head, `event ${String(count)}`);
              if (pulls && count % 4 === 0) await puller.pull(spool, 3);
            }
          });
        },
        comeBack: async (directory, step) => {
          await withSpool(directory, async (spool) => {
            const head = Math.max(0, ...durable.keys());
            expect(spool.head, step).to.be.within(head, head + 1);
            spool.add('started', 'back again');
            await spool.settled();
            await puller.pullAll(spool);
            expect(puller.received.get(spool.head)?.message, step).to.equal('back again');
            for (const [seq, message] of durable) {
              if (puller.isInGap(seq)) continue;
              expect(puller.received.get(seq)?.message, step).to.equal(message);
            }
            const missing = puller.gaps.reduce((sum, { from, to }) => sum + to - from + 1, 0);
            if (pulls) expect(missing, step).to.equal(0);
            expect(spool.dropped, step).to.be.least(missing);
          });
        },
      });
      expect(steps).to.be.above(pulls ? 35 : 60);
      expect(puller.gaps.length > 0).to.equal(!pulls);
    });
  }
});
