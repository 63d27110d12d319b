import type { Logger } from 'pino';
import {
  type IdentityStatus,
  type Offload,
  parseSidekeyId,
  type SidekeyId,
} from '../../offload/index.ts';

export interface OwnIdentityOptions {
  readonly offload: Offload;
  /** Absent: the sidecar's default one. */
  readonly name: string | undefined;
  readonly log: Logger;
  /** Called once, when it is known who we are. */
  readonly onKnown: (id: SidekeyId) => void;
}

/** Who this manager is, as its sidecar has it; waits until it has enrolled. */
export class OwnIdentity {
  readonly #options: OwnIdentityOptions;
  readonly #abort = new AbortController();
  #known: SidekeyId | undefined;
  #problem: string | undefined = 'the sidecar was not heard of yet';
  #watching: Promise<void> | undefined;

  constructor(options: OwnIdentityOptions) {
    this.#options = options;
  }

  get id(): SidekeyId | undefined {
    return this.#known;
  }

  /** Why no agent can be connected to now. */
  get problem(): string | undefined {
    return this.#problem;
  }

  start(): void {
    this.#watching ??= this.#watch();
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    const { offload, log } = this.#options;
    const { signal } = this.#abort;
    for (;;) {
      try {
        for await (const { identities } of offload.workload.watchIdentities({ signal })) {
          this.#look(identities);
        }
      } catch (error) {
        if (isAborted(signal)) return;
        this.#problem = error instanceof Error ? error.message : String(error);
        log.error({ err: error }, 'the sidecar refuses to say who we are');
        await pause(signal);
      }
      if (isAborted(signal)) return;
    }
  }

  #look(identities: readonly IdentityStatus[]): void {
    const { name, log, onKnown } = this.#options;
    const own = identities.find((one) => (name === undefined ? one.isDefault : one.name === name));
    this.#problem = problemOf(own, name);
    if (this.#problem !== undefined || this.#known !== undefined) return;
    const id = parseSidekeyId(own?.spiffeId);
    if (id === undefined) return;
    this.#known = id;
    log.info({ spiffeId: id.text }, 'manager has its identity');
    onKnown(id);
  }
}

function problemOf(own: IdentityStatus | undefined, name: string | undefined): string | undefined {
  if (own === undefined) {
    return `the sidecar has no identity ${name ?? 'by default'} that this manager may use`;
  }
  if (!own.ready) return `identity ${own.name} is not ready: ${own.problem ?? 'not enrolled'}`;
  const id = parseSidekeyId(own.spiffeId);
  if (id?.role === 'manager') return undefined;
  return `identity ${own.name} is ${own.spiffeId ?? 'nameless'}, not of role manager: agents will not obey it`;
}

/** Asked after a wait, in which it may have been. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

async function pause(signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, retryMs).unref();
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

const retryMs = 5000;
