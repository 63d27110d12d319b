import type { Direction, Fault, FaultKind } from './fault-relay.ts';

const kinds: readonly FaultKind[] = ['drop', 'delay', 'duplicate', 'cut', 'half-close'];

/**
 * Every kind of fault at every `stride`th byte of either direction. Each kind begins at another
 * byte, so that together they come near every byte.
 */
export function faultsAt(
  lengths: Readonly<Record<Direction, number>>,
  stride: number,
): readonly Fault[] {
  return (['up', 'down'] as const).flatMap((direction) =>
    kinds.flatMap((kind, index) => {
      const first = Math.floor((index * stride) / kinds.length);
      const count = Math.max(0, Math.ceil((lengths[direction] - first) / stride));
      return Array.from({ length: count }, (_, step) => ({
        kind,
        direction,
        at: first + step * stride,
      }));
    }),
  );
}

export function label(where: string, { kind, direction, at }: Fault): string {
  return `${where} ${kind} ${direction} at byte ${String(at)}`;
}
