import { isIPv6 } from 'node:net';
import { RateBudget } from '../../rpc/rate-budget.ts';

export interface SourceLimitsOptions {
  readonly connectionsPerSource: number;
  readonly handshakesPerSecondPerSource: number;
  readonly now: () => Date;
}

/**
 * What each source may take of a listener. Remembers a bounded number of sources: those with open
 * connections, and the latest of those without.
 */
export class SourceLimits {
  readonly #options: SourceLimitsOptions;
  readonly #sources = new Map<string, Source>();

  constructor(options: SourceLimitsOptions) {
    this.#options = options;
  }

  /** Sources remembered. */
  get size(): number {
    return this.#sources.size;
  }

  /** Lets a connection in, or says why not; `release` is called when it has ended. */
  admit(address: string): { readonly release: () => void } | { readonly refusal: string } {
    const name = sourceOf(address);
    const source = this.#source(name);
    if (source.connections >= this.#options.connectionsPerSource) {
      return { refusal: 'too many connections of one source' };
    }
    if (!source.handshakes.available) return { refusal: 'too many handshakes of one source' };
    source.handshakes.spend();
    source.connections += 1;
    let held = true;
    return {
      release: () => {
        if (held) source.connections -= 1;
        held = false;
      },
    };
  }

  /**
   * Makes a source pay for a connection as for many: it was closed for what came over it. Those of one
   * source that are closed together pay once.
   */
  charge(address: string): void {
    const { handshakes } = this.#source(sourceOf(address));
    if (handshakes.available) handshakes.spend(handshakesOfCut);
  }

  #source(name: string): Source {
    const { handshakesPerSecondPerSource: perSecond, now } = this.#options;
    const known = this.#sources.get(name);
    const source = known ?? {
      connections: 0,
      handshakes: new RateBudget({ burst: perSecond, perSecond }, now),
    };
    // To the end: the front is where room is made.
    this.#sources.delete(name);
    this.#sources.set(name, source);
    if (this.#sources.size > maxSources) this.#forgetOne();
    return source;
  }

  #forgetOne(): void {
    for (const [name, { connections }] of this.#sources) {
      if (connections > 0) continue;
      this.#sources.delete(name);
      return;
    }
  }
}

interface Source {
  connections: number;
  readonly handshakes: RateBudget;
}

/** One network of IPv6 is one source: its owner has more addresses than could be counted. */
export function sourceOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/iu.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.replace(/%.*$/u, '').split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length);
  const groups = [...before, ...Array.from({ length: zeros }, () => '0'), ...after];
  return `${groups.slice(0, 4).join(':')}::/64`;
}

const maxSources = 16_384;
/** So that who comes again at once, and again, is soon refused before a handshake. */
const handshakesOfCut = 20;
