import type { Request } from './endpoint-messages.ts';
import type { Pair } from './endpoints.ts';
import type { BulkResult, HandshakeResult, RoundTripResult } from './loads.ts';
import type { HandshakeKind } from './stacks.ts';
import { quantile } from './statistics.ts';
import type { Variant } from './stage.ts';

/** What a sample says: one figure per measure, and the work done for the costs to be divided by. */
export interface Sample {
  readonly figures: Readonly<Record<string, number>>;
  readonly work: number;
}

/** One kind of work, done by every variant in turn. */
export interface Row {
  readonly id: string;
  readonly title: string;
  readonly variants: readonly Variant[];
  readonly measures: Readonly<Record<string, Measure>>;
  /** CPU is given per this much work. */
  readonly costUnit: { readonly title: string; readonly work: number };
  /** Work to be done before it counts: until then, compilers of JavaScript are what is measured. */
  readonly warmUp: number;
  run(pair: Pair, seconds: number): Promise<Sample>;
}

export interface Measure {
  readonly unit: string;
  readonly better: 'more' | 'less';
  readonly digits: number;
}

const perSecond: Measure = { unit: '/s', better: 'more', digits: 0 };
const milliseconds: Measure = { unit: 'ms', better: 'less', digits: 2 };
const microseconds: Measure = { unit: 'µs', better: 'less', digits: 0 };
const percent: Measure = { unit: '%', better: 'more', digits: 0 };
const megabytes: Measure = { unit: 'MB/s', better: 'more', digits: 0 };

/** All rows but that of memory, which needs fresh processes. */
export const rows: readonly Row[] = [
  handshakeRow('ecdsa', 1),
  handshakeRow('ecdsa', 16),
  handshakeRow('ecdsa', 64),
  handshakeRow('rsa', 1),
  handshakeRow('rsa', 16),
  handshakeRow('resumed', 1),
  handshakeRow('resumed', 16),
  bulkRow(64 * 1024),
  bulkRow(16 * 1024),
  bulkRow(1024),
  roundTripRow(100),
  roundTripRow(4096),
];

function handshakeRow(kind: HandshakeKind, inFlight: number): Row {
  const what = {
    ecdsa: 'full mutual handshakes, ECDSA P-256',
    rsa: 'full mutual handshakes, RSA-2048 server',
    resumed: 'resumed handshakes',
  }[kind];
  return {
    id: `handshake-${kind}-${String(inFlight)}`,
    title: `${what}, ${String(inFlight)} in flight`,
    variants: ['tls', 'native'],
    measures: {
      rate: perSecond,
      p50: milliseconds,
      p99: milliseconds,
      ...(kind === 'resumed' ? { resumed: percent } : {}),
    },
    costUnit: { title: 'CPU s per 1,000', work: 1000 },
    warmUp: 3000,
    async run({ client, ports }, seconds) {
      const request: Request = { type: 'handshakes', port: ports[kind], kind, inFlight, seconds };
      const result = await client.ask<HandshakeResult>(request);
      if (kind !== 'resumed' && result.resumedShare > 0) throw new Error('not full handshakes');
      return {
        figures: {
          rate: result.perSecond,
          p50: quantile(result.latencies, 0.5) * 1e3,
          p99: quantile(result.latencies, 0.99) * 1e3,
          ...(kind === 'resumed' ? { resumed: result.resumedShare * 100 } : {}),
        },
        work: result.count,
      };
    },
  };
}

function bulkRow(writeBytes: number): Row {
  /** Last speed of each pair, so that every sample takes about the same time. */
  const speeds = new WeakMap<Pair, number>();
  return {
    id: `bulk-${String(writeBytes)}`,
    title: `bulk in writes of ${String(writeBytes / 1024)} KiB`,
    variants: ['tls', 'native', 'node'],
    measures: { rate: megabytes },
    costUnit: { title: 'CPU s per GB', work: 1e9 },
    warmUp: 3e9,
    async run(pair, seconds) {
      const bytes = (speeds.get(pair) ?? 2e8) * seconds;
      const request: Request = { type: 'bulk', port: pair.ports.sink, writeBytes, bytes };
      const result = await pair.client.ask<BulkResult>(request);
      speeds.set(pair, result.bytesPerSecond);
      return { figures: { rate: result.bytesPerSecond / 1e6 }, work: result.bytes };
    },
  };
}

function roundTripRow(bytes: number): Row {
  return {
    id: `round-trips-${String(bytes)}`,
    title: `round trips of ${String(bytes)} bytes`,
    variants: ['tls', 'native', 'node'],
    measures: { rate: perSecond, p50: microseconds, p99: microseconds },
    costUnit: { title: 'CPU s per 100,000', work: 1e5 },
    warmUp: 3e4,
    async run({ client, ports }, seconds) {
      const request: Request = { type: 'roundTrips', port: ports.echo, bytes, seconds };
      const result = await client.ask<RoundTripResult>(request);
      return {
        figures: {
          rate: result.perSecond,
          p50: quantile(result.latencies, 0.5) * 1e6,
          p99: quantile(result.latencies, 0.99) * 1e6,
        },
        work: result.count,
      };
    },
  };
}
