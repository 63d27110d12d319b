import type { HandshakeKind } from './stacks.ts';

/** What an end can be asked to do; it answers `{ result }` or `{ error }`. */
export type Request =
  | { readonly type: 'listen' }
  | {
      readonly type: 'handshakes';
      readonly port: number;
      readonly kind: HandshakeKind;
      readonly inFlight: number;
      readonly seconds: number;
    }
  | {
      readonly type: 'bulk';
      readonly port: number;
      readonly writeBytes: number;
      readonly bytes: number;
    }
  | {
      readonly type: 'roundTrips';
      readonly port: number;
      readonly bytes: number;
      readonly seconds: number;
    }
  | { readonly type: 'hold'; readonly port: number; readonly count: number }
  | { readonly type: 'memory' }
  /** How many objects the application holds beside its connections. */
  | { readonly type: 'heap' };
