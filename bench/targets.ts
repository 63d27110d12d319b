import type { Variant } from './stage.ts';

/** A ratio to `node:tls` in the same run that we mean to keep. */
export interface Target {
  readonly row: string;
  readonly variant: Variant;
  /** Name of a measure, or of a cost. */
  readonly measure: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}

/**
 * What we aim at. Node 20 carries OpenSSL 3.0, whose handshakes are slow; Node 22 and 24 carry 3.5,
 * against which the same offloading looks less good. Bounds leave about a tenth for noise.
 */
export function targetsFor(nodeMajor: number): readonly Target[] {
  const old = nodeMajor < 22;
  const pick = (onOld: number, onNew: number): number => (old ? onOld : onNew);
  const bulk = (row: string, native: number, node: number): readonly Target[] => [
    { row, variant: 'native', measure: 'rate', atLeast: native },
    { row, variant: 'node', measure: 'rate', atLeast: node },
  ];
  return [
    { row: 'handshake-ecdsa-16', variant: 'native', measure: 'rate', atLeast: pick(1.5, 0.85) },
    {
      row: 'handshake-ecdsa-16',
      variant: 'native',
      measure: 'applications',
      atMost: pick(0.25, 0.35),
    },
    { row: 'handshake-ecdsa-16', variant: 'native', measure: 'all', atMost: pick(0.6, 1) },
    ...(old
      ? ([{ row: 'handshake-resumed-16', variant: 'native', measure: 'rate', atLeast: 1 }] as const)
      : []),
    ...bulk('bulk-65536', 1.05, pick(0.75, 0.65)),
    ...bulk('bulk-16384', pick(1.15, 1.35), pick(0.85, 0.75)),
    ...bulk('bulk-1024', pick(1.8, 1.3), pick(1.1, 0.75)),
    { row: 'bulk-65536', variant: 'native', measure: 'all', atMost: 0.95 },
    ...bulk('round-trips-100', 0.98, pick(0.8, 0.75)),
    ...bulk('round-trips-4096', 1, pick(0.8, 0.85)),
    { row: 'memory', variant: 'native', measure: 'both', atMost: 0.3 },
  ];
}
