import type { SqliteFailure } from './protocol.ts';

/** What is known of an error that a statement threw. */
export function describeFailure(error: unknown): SqliteFailure {
  const message = error instanceof Error ? error.message : String(error);
  const code =
    error instanceof Error && 'errcode' in error && typeof error.errcode === 'number'
      ? error.errcode
      : 0;
  return { message, code };
}
