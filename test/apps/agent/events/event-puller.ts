import { expect } from 'chai';
import type { EventSpool } from '../../../../src/apps/agent/events/event-spool.ts';
import { type AgentEvent, events } from '../../../../src/apps/fleet/agent-api/messages.ts';

/** A manager that pulls events, as any does, and complains of whatever it could not live with. */
export class EventPuller {
  /** What came, by its number. */
  readonly received = new Map<number, AgentEvent>();
  readonly gaps: { readonly from: number; readonly to: number }[] = [];
  after = 0;

  /** One page, of at most `max`. */
  async pull(spool: EventSpool, max: number): Promise<void> {
    const page = events.parse(await spool.read(this.after, max));
    for (const event of page.events) this.#take(event);
  }

  async pullAll(spool: EventSpool, max = 3): Promise<void> {
    while (this.after < spool.head) {
      const { after } = this;
      await this.pull(spool, max);
      expect(this.after, 'a page brings it forward').to.be.above(after);
    }
  }

  isInGap(seq: number): boolean {
    return this.gaps.some(({ from, to }) => from <= seq && seq <= to);
  }

  #take(event: AgentEvent): void {
    if (event.kind === 'gap') {
      const { from, to } = event.facts as { from: number; to: number };
      expect(from, 'a gap begins where the events before it end').to.equal(this.after + 1);
      expect(event.seq).to.equal(to);
      this.gaps.push({ from, to });
    } else {
      expect(event.seq, 'numbers follow each other').to.equal(this.after + 1);
      this.received.set(event.seq, event);
    }
    this.after = event.seq;
  }
}
