import { armCrashPoint } from '../../../src/ca/crash-points.ts';
import { ServiceError } from '../../../src/rpc/errors.ts';
import { Refused } from '../../../src/ca/issue/refusal.ts';
import { type Deed, perform } from './deeds.ts';
import { initialise, openReplica } from './replica.ts';

/** What the process is told. */
export interface Order {
  readonly id: number;
  readonly deed: Deed;
  /** Where to die while doing it. */
  readonly crashAt?: string;
}

/** What it answers: first that it is ready, then what became of each order. */
export type Report =
  | { readonly ready: true }
  | { readonly id: number; readonly done: Awaited<ReturnType<typeof perform>> }
  | { readonly id: number; readonly refused: string };

// An authority of its own process, that does what it is told until it is made to die.
const [url = '', directory = '', mode = 'open', replicaId = 'replica-1', offset = '0'] =
  process.argv.slice(2);
const report = (message: Report): void => {
  process.send?.(message);
};
if (mode === 'initialise') {
  await initialise({ url, directory });
  report({ ready: true });
} else {
  const authority = await openReplica({ url, directory }, replicaId, Number(offset));
  process.on('message', ({ id, deed, crashAt }: Order) => {
    if (crashAt !== undefined) armCrashPoint(crashAt);
    perform(authority, deed).then(
      (done) => {
        report({ id, done });
      },
      (error: unknown) => {
        report({ id, refused: reasonOf(error) });
      },
    );
  });
  process.on('disconnect', () => {
    void authority.close().then(() => process.exit(0));
  });
  report({ ready: true });
}

/** Precise where the authority is, so that tests can tell refusals apart. */
function reasonOf(error: unknown): string {
  if (error instanceof Refused) return error.detail;
  if (error instanceof ServiceError) return error.reason;
  return String(error);
}
