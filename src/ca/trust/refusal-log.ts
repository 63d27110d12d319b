import type { Logger } from 'pino';
import type { ServiceError } from '../../rpc/errors.ts';
import type { Store } from '../store/store.ts';

/**
 * Writes refusals that cost a look into the store to the audit log, each certificate's once in a
 * while: a host that is refused comes again and again, and must not fill the log by that.
 */
export class RefusalLog {
  readonly #store: Store;
  readonly #now: () => Date;
  readonly #log: Logger;
  readonly #noted = new Map<string, number>();

  constructor(options: { readonly store: Store; readonly now: () => Date; readonly log: Logger }) {
    this.#store = options.store;
    this.#now = options.now;
    this.#log = options.log;
  }

  /** @param serial hex, of the certificate that was shown */
  note(serial: string, { reason }: ServiceError): void {
    const now = this.#now().getTime();
    if (now - (this.#noted.get(serial) ?? -Infinity) < repeatMs) return;
    this.#noted.delete(serial);
    this.#noted.set(serial, now);
    const [oldest] = this.#noted.keys();
    if (this.#noted.size > maxNoted && oldest !== undefined) this.#noted.delete(oldest);
    this.#log.warn({ serial, reason }, 'a host may not follow');
    this.#store
      .transact((transaction) => {
        transaction.audit({
          actor: `certificate:${serial}`,
          action: 'trust.follow',
          subject: serial,
          outcome: 'refused',
          details: { why: reason },
        });
        return Promise.resolve();
      })
      .catch((error: unknown) => {
        this.#log.warn({ err: error, serial }, 'a refusal could not be audited');
      });
  }
}

const repeatMs = 3_600_000;
const maxNoted = 10_000;
