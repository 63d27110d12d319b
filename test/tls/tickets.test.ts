import { expect } from 'chai';
import { createCipheriv } from 'node:crypto';
import { TicketKeys, type TicketKeysOptions } from '../../src/tls/tickets.ts';
import { bytesOf, plain } from '../support/codec-suite.ts';

const hour = 3600;

/** Ticket keys with a clock to turn and randomness to look at. */
function makeKeys(options: Partial<TicketKeysOptions> = {}): {
  keys: TicketKeys;
  clock: { seconds: number };
  drawn: Uint8Array[];
} {
  const clock = { seconds: 1_000_000 };
  const drawn: Uint8Array[] = [];
  const keys = new TicketKeys({
    now: () => new Date(clock.seconds * 1000),
    random: (length) => {
      const bytes = Buffer.alloc(length, drawn.length + 1);
      drawn.push(bytes);
      return bytes;
    },
    lifetimeSeconds: 2 * hour,
    keyLifetimeSeconds: 6 * hour,
    ...options,
  });
  return { keys, clock, drawn };
}

const state = bytesOf('0102030405');

describe('TicketKeys (RFC 5077 §4)', () => {
  it('opens what it sealed', () => {
    const { keys } = makeKeys();
    expect(plain(keys.open(keys.seal(state)))).to.equal(plain(state));
    expect(keys.counters).to.deep.equal({ sealed: 1, opened: 1, refused: 0, rotations: 0 });
  });

  it('seals an empty state, too', () => {
    const { keys } = makeKeys();
    expect(keys.open(keys.seal(bytesOf()))).to.have.length(0);
  });

  it('names the key in clear, then the nonce, then ciphertext and tag', () => {
    const { keys, drawn } = makeKeys();
    const ticket = keys.seal(state);
    const [secret, name, nonce] = drawn;
    expect(ticket).to.have.length(16 + 12 + state.length + 16);
    expect(plain(ticket.subarray(0, 16))).to.equal(plain(name));
    expect(plain(ticket.subarray(16, 28))).to.equal(plain(nonce));
    expect(secret).to.have.length(32);
  });

  for (const { what, additional, opens } of [
    { what: 'its own format and version', additional: '01 0303', opens: true },
    { what: 'another format', additional: '02 0303', opens: false },
    { what: 'TLS 1.3 under the same key', additional: '01 0304', opens: false },
    { what: 'TLS 1.1 under the same key', additional: '01 0302', opens: false },
  ]) {
    it(`${opens ? 'opens' : 'does not open'} a ticket of ${what}`, () => {
      const { keys, drawn } = makeKeys();
      keys.seal(state);
      const name = drawn[1]!;
      // The key itself was overwritten; it is known from how randomness is made here.
      const cipher = createCipheriv('aes-256-gcm', Buffer.alloc(32, 1), Buffer.alloc(12, 9));
      cipher.setAAD(Buffer.concat([bytesOf(additional.replace(' ', '')), name]));
      const sealed = [cipher.update(state), cipher.final(), cipher.getAuthTag()];
      const ticket = Buffer.concat([name, Buffer.alloc(12, 9), ...sealed]);
      expect(keys.open(ticket) !== undefined).to.equal(opens);
    });
  }

  it('draws a nonce per ticket', () => {
    const { keys } = makeKeys();
    expect(plain(keys.seal(state))).not.to.equal(plain(keys.seal(state)));
  });

  it('overwrites the bytes of a key once it is imported', () => {
    const { keys, drawn } = makeKeys();
    keys.seal(state);
    expect(plain(drawn[0])).to.equal('00'.repeat(32));
  });

  it('refuses a ticket with any byte changed', () => {
    const { keys } = makeKeys();
    const ticket = keys.seal(state);
    for (const position of ticket.keys()) {
      const changed = Uint8Array.from(ticket);
      changed[position] = (changed[position] ?? 0) ^ 0x01;
      expect(keys.open(changed), `byte ${String(position)}`).to.equal(undefined);
    }
    expect(keys.counters.refused).to.equal(ticket.length);
  });

  it('refuses a ticket cut short or grown', () => {
    const { keys } = makeKeys();
    const ticket = keys.seal(state);
    for (let end = 0; end < ticket.length; end++) {
      expect(keys.open(ticket.subarray(0, end))).to.equal(undefined);
    }
    expect(keys.open(bytesOf(ticket, [0]))).to.equal(undefined);
  });

  it('refuses tickets of other keys, also under the same name', () => {
    const other = makeKeys({ random: (length) => Buffer.alloc(length, 9) });
    const { keys } = makeKeys();
    const mine = keys.seal(state);
    const foreign = other.keys.seal(state);
    expect(keys.open(foreign)).to.equal(undefined);
    expect(keys.open(bytesOf(mine.subarray(0, 16), foreign.subarray(16)))).to.equal(undefined);
  });
});

describe('rotation of ticket keys (RFC 9325 §3.4)', () => {
  it('seals with a new key when the old one is over age', () => {
    const { keys, clock } = makeKeys();
    const before = keys.seal(state);
    clock.seconds += 6 * hour - 1;
    const last = keys.seal(state);
    clock.seconds += 1;
    const after = keys.seal(state);
    expect(plain(last.subarray(0, 16))).to.equal(plain(before.subarray(0, 16)));
    expect(plain(after.subarray(0, 16))).not.to.equal(plain(before.subarray(0, 16)));
    expect(keys.counters.rotations).to.equal(1);
    expect(plain(keys.open(last))).to.equal(plain(state));
  });

  it('opens with the previous key as long as its last ticket may live', () => {
    const { keys, clock } = makeKeys();
    clock.seconds += 1;
    const ticket = keys.seal(state);
    clock.seconds += 6 * hour - 1;
    const last = keys.seal(state);
    clock.seconds += 2 * hour;
    keys.seal(state);
    expect(keys.open(ticket)).not.to.equal(undefined);
    expect(keys.open(last)).not.to.equal(undefined);
    clock.seconds += 1;
    expect(keys.open(last)).to.equal(undefined);
  });

  it('does not open with an idle key that nobody replaced', () => {
    const { keys, clock } = makeKeys();
    const ticket = keys.seal(state);
    clock.seconds += 8 * hour;
    expect(keys.open(ticket)).to.equal(undefined);
  });

  it('keeps one previous key, not more', () => {
    const { keys } = makeKeys();
    const first = keys.seal(state);
    keys.rotate();
    const second = keys.seal(state);
    expect(keys.open(first)).not.to.equal(undefined);
    keys.rotate();
    expect(keys.open(first)).to.equal(undefined);
    expect(keys.open(second)).not.to.equal(undefined);
    expect(keys.counters.rotations).to.equal(2);
  });

  it('lets a key replaced early open for one ticket lifetime', () => {
    const { keys, clock } = makeKeys();
    const ticket = keys.seal(state);
    keys.rotate();
    clock.seconds += 2 * hour - 1;
    expect(keys.open(ticket)).not.to.equal(undefined);
    clock.seconds += 1;
    expect(keys.open(ticket)).to.equal(undefined);
  });

  it('replaces a key that sealed as often as it may', () => {
    const { keys } = makeKeys({ sealsPerKey: 2 });
    const names = Array.from({ length: 5 }, () => plain(keys.seal(state).subarray(0, 16)));
    expect(new Set(names).size).to.equal(3);
    expect(names[0]).to.equal(names[1]);
  });

  it('replaces a key when the clock was set back behind its birth', () => {
    const { keys, clock } = makeKeys();
    const before = keys.seal(state);
    clock.seconds -= hour;
    const after = keys.seal(state);
    expect(plain(after.subarray(0, 16))).not.to.equal(plain(before.subarray(0, 16)));
  });

  it('opens nothing once wiped, and starts anew', () => {
    const { keys } = makeKeys();
    const ticket = keys.seal(state);
    keys.rotate();
    keys.wipe();
    expect(keys.open(ticket)).to.equal(undefined);
    expect(keys.open(keys.seal(state))).not.to.equal(undefined);
  });

  const lifetimes: readonly { name: string; options: Partial<TicketKeysOptions> }[] = [
    { name: 'keys of more than a day', options: { keyLifetimeSeconds: 24 * hour + 1 } },
    { name: 'keys of no time', options: { keyLifetimeSeconds: 0 } },
    { name: 'keys of no known time', options: { keyLifetimeSeconds: Number.NaN } },
    { name: 'tickets of more than half a key', options: { lifetimeSeconds: 3 * hour + 1 } },
    { name: 'tickets of no time', options: { lifetimeSeconds: 0 } },
  ];
  for (const { name, options } of lifetimes) {
    it(`does not take ${name}`, () => {
      expect(() => makeKeys(options)).to.throw(RangeError);
    });
  }
});
