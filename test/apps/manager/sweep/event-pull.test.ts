import { expect } from 'chai';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentEvent, Events } from '../../../../src/apps/fleet/agent-api/messages.ts';
import type { AgentConnection } from '../../../../src/apps/manager/connections/agent-connection.ts';
import type { AgentRecord } from '../../../../src/apps/manager/fleet/agent-record.ts';
import { Fleet } from '../../../../src/apps/manager/fleet/fleet.ts';
import { ManagerStore } from '../../../../src/apps/manager/store/manager-store.ts';
import { EventPull } from '../../../../src/apps/manager/sweep/event-pull.ts';
import { type LogLine, memoryLog } from '../../../sidecar/fixture.ts';
import { type PostgresServer, sharedPostgres } from '../../../support/postgres.ts';
import { skip } from '../../../support/skip.ts';

const at = '2026-12-01T12:00:00.000Z';
const event = (seq: number, changes: Partial<AgentEvent> = {}): AgentEvent => ({
  seq,
  at,
  kind: 'problem',
  message: `event ${String(seq)}`,
  facts: {},
  ...changes,
});

for (const kind of ['sqlite', 'postgres'] as const) {
  describe(`events of an agent that need not be honest, on ${kind}`, function () {
    this.timeout(60_000);
    let server: PostgresServer | undefined;
    let directory: string;
    let store: ManagerStore;
    let fleet: Fleet;
    let record: AgentRecord;
    let lines: readonly LogLine[];
    let events: EventPull;
    /** What the agent answers when asked for those behind a number. */
    let answer: (after: number) => Events;
    let asked: number[];
    let violations: unknown[];

    before(async function () {
      if (kind === 'sqlite') return;
      const started = await sharedPostgres();
      if ('unavailable' in started) return skip(this, started.unavailable);
      server = started;
    });
    beforeEach(async () => {
      directory = mkdtempSync(join(tmpdir(), 'sidekey-event-pull-'));
      const url =
        server === undefined ? `sqlite:${join(directory, 'm.db')}` : await server.createDatabase();
      const memory = memoryLog();
      ({ lines } = memory);
      const now = () => new Date(at);
      store = await ManagerStore.open({ url, now, log: memory.log });
      fleet = await Fleet.load(store, 10);
      record = await fleet.add(
        { name: 'a', state: 'pending', mode: 'agent-initiated', labels: {} },
        { actor: 'test', action: 'added' },
      );
      events = new EventPull({
        store,
        fleet,
        kept: 20,
        now,
        log: memory.log,
        onPulled: () => undefined,
      });
      asked = [];
      violations = [];
      // Only what pulling asks of a connection.
      record.connection = {
        client: {
          events: (after: number) => {
            asked.push(after);
            return Promise.resolve(answer(after));
          },
        },
        violated: (error: unknown) => violations.push(error),
      } as unknown as AgentConnection;
    });
    afterEach(async () => {
      await store.close();
      rmSync(directory, { recursive: true, force: true });
    });

    /** As an agent does that has these and no others. */
    const has =
      (...all: AgentEvent[]) =>
      (after: number): Events => ({
        events: all.filter(({ seq }) => seq > after),
        head: all.at(-1)?.seq ?? 0,
      });
    const kept = async () =>
      (
        await store.reads.selectFrom('event').select(['seq', 'message']).orderBy('seq').execute()
      ).map(({ seq, message }) => `${String(seq)} ${message}`);
    const pull = (head: number) =>
      events.pull(record, head).then(
        () => undefined,
        (error: unknown) => error as Error,
      );

    it('are kept once, in order, under numbers that go up by one', async () => {
      answer = has(event(1), event(2));
      await pull(2);
      answer = () => ({ events: [event(1), event(2), event(3)], head: 3 });
      await pull(3);
      expect(await kept()).to.deep.equal(['1 event 1', '2 event 2', '3 event 3']);
      expect(asked).to.deep.equal([0, 2]);
    });

    for (const [name, told] of [
      ['jump back', [event(2), event(1)]],
      ['come twice', [event(1), event(1)]],
      ['are newer than the newest', [event(8)]],
    ] as const) {
      it(`that ${name} end the connection, and none is kept`, async () => {
        answer = () => ({ events: [...told], head: 7 });
        expect((await pull(7))?.message).to.match(/not in order|newer than/u);
        expect(violations).to.have.length(1);
        expect(await kept()).to.deep.equal([]);
        expect(record.row.events_pulled).to.equal(0);
      });
    }

    it('with a gigantic number hide nothing and forget nothing', async () => {
      answer = has(event(1));
      await pull(1);
      const huge = Number.MAX_SAFE_INTEGER;
      answer = has(event(huge));
      await pull(huge);
      expect(await kept()).to.deep.equal([
        '1 event 1',
        `2 events 2 to ${String(huge - 1)} never came`,
        `3 event ${String(huge)}`,
      ]);
    });

    it('that the agent counts anew do not take the place of those before', async () => {
      answer = has(event(1), event(2), event(3));
      await pull(3);
      answer = has(event(1, { message: 'innocent' }));
      await pull(1);
      // Before they were read, none was acknowledged.
      expect(asked).to.deep.equal([0, 0, 0]);
      expect(await kept()).to.deep.equal([
        '1 event 1',
        '2 event 2',
        '3 event 3',
        '4 the agent counts its events anew: 3 was the last, now 1 is',
        '5 innocent',
      ]);
      expect(lines.filter(({ msg }) => msg === 'an agent counts its events anew')).to.have.length(
        1,
      );
    });

    it('are not taken for counted anew when a heartbeat is older than the last pull', async () => {
      answer = has(event(1), event(2), event(3));
      await pull(3);
      await pull(2);
      expect(await kept()).to.have.length(3);
      expect(record.row.events_pulled).to.equal(3);
    });

    for (const [name, facts] of [
      ['names others', { from: 2, to: 3 }],
      ['names none', {}],
      ['names all', { from: 2, to: 9 }],
    ] as const) {
      it(`with a gap that ${name} are ${name === 'names all' ? '' : 'not '}believed`, async () => {
        answer = has(event(1));
        await pull(1);
        answer = has(event(9, { kind: 'gap', message: 'some were dropped', facts }));
        await pull(9);
        const [, ...rest] = await kept();
        expect(rest).to.deep.equal(
          name === 'names all'
            ? ['2 some were dropped']
            : ['2 events 2 to 8 never came', '3 some were dropped'],
        );
      });
    }

    it('with characters no database takes are kept without them', async () => {
      answer = has(event(1, { message: 'a\0b', facts: { key: 'c\0d' } }));
      expect(await pull(1)).to.equal(undefined);
      expect(await kept()).to.deep.equal(['1 a\uFFFDb']);
    });

    it('without end are read a bounded number of pages at a time, and the newest are kept', async () => {
      answer = (after) => ({
        events: Array.from({ length: 500 }, (_, index) => event(after + 1 + index)),
        head: after + 100_000,
      });
      await pull(100_000);
      expect(asked).to.have.length(20);
      const all = await kept();
      expect([all.length, all.at(-1)]).to.deep.equal([20, '10000 event 10000']);
    });
  });
}
