import { ServiceError } from '../../rpc/errors.ts';
import type { AuthorityContext } from '../context.ts';
import { nodeTimers, type Timers } from '../timers.ts';
import type { TokenKeys } from '../tokens/token-keys.ts';
import { CampaignSlots, finishCampaigns, hostsBelow, readCampaigns } from './campaigns.ts';
import { RotationDriver } from './driver.ts';
import { repeat, type Repetition } from './repeat.ts';
import { ReplicaHeartbeat } from './replica.ts';
import type { Rotation, RotationGeneration, RotationRequest, RotationStatus } from './rotation.ts';
import { defaultRotationSettings, type RotationSettings } from './settings.ts';
import { readCaStatus } from './status.ts';
import { takeStep } from './take-step.ts';
import { orderTicketKeys, readTicketKeyOrder } from './ticket-keys.ts';
import { destroyRetiredTokenKeys, readTokenKeyStatus, takeTokenKeyStep } from './token-keys.ts';

export interface RotationOptions {
  readonly context: AuthorityContext;
  readonly tokenKeys: TokenKeys;
  /** Of the program; for the other replicas. */
  readonly version: string;
  /**
   * Number of the issuing CA that this replica signs with and shows itself with at its listeners;
   * absent: what `context.generations` says.
   */
  readonly issuing?: () => number;
  /** Calls back when that has changed, so that others need not wait for the next sign of life. */
  readonly onIssuing?: (listener: () => void) => () => void;
  readonly settings?: Partial<RotationSettings>;
  readonly timers?: Timers;
}

/** Makes the rotation of one replica. Nothing happens by itself before `start`. */
export function createRotation(options: RotationOptions): Rotation {
  return new AuthorityRotation(options);
}

class AuthorityRotation implements Rotation {
  readonly #context: AuthorityContext;
  readonly #tokenKeys: TokenKeys;
  readonly #settings: RotationSettings;
  readonly #timers: Timers;
  readonly #onIssuing: RotationOptions['onIssuing'];
  readonly #slots: CampaignSlots;
  readonly #heartbeat: ReplicaHeartbeat;
  readonly #driver: RotationDriver;
  readonly #listeners = new Set<() => void>();
  readonly #repetitions: Repetition[] = [];
  #ticketKeysNotBefore: Date | undefined;
  readonly #unfollow: (() => void)[] = [];
  #reading: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(options: RotationOptions) {
    const { context, tokenKeys, version } = options;
    this.#context = context;
    this.#tokenKeys = tokenKeys;
    this.#settings = { ...defaultRotationSettings, ...options.settings };
    this.#onIssuing = options.onIssuing;
    this.#timers = options.timers ?? nodeTimers;
    this.#slots = new CampaignSlots(context);
    const issuing = options.issuing ?? (() => signingNumber(context));
    this.#heartbeat = new ReplicaHeartbeat({ context, tokenKeys, version, issuing });
    this.#driver = new RotationDriver({
      context,
      tokenKeys,
      settings: this.#settings,
    });
  }

  async status(): Promise<RotationStatus> {
    const { queries } = this.#context.store;
    const now = this.#context.now().getTime();
    const { windows, automatic } = this.#settings;
    const authorities = await readCaStatus(queries, now, windows);
    const keys = await readTokenKeyStatus(queries, now, windows);
    const tickets = await readTicketKeyOrder(queries);
    return {
      generations: [
        ...authorities.generations,
        ...keys.generations,
        ...(tickets === undefined ? [] : [tickets]),
      ],
      gates: [...authorities.gates, ...keys.gates],
      automatic,
      campaigns: await readCampaigns(queries, now),
    };
  }

  async advance(request: RotationRequest): Promise<RotationGeneration> {
    try {
      const result = await this.#take(request);
      await this.#refresh();
      return result;
    } catch (error) {
      if (error instanceof ServiceError) await this.#auditRefusal(request, error);
      throw error;
    }
  }

  renewAt(agent: Uint8Array, issuer: Uint8Array): Date | undefined {
    return this.#slots.slot(agent, issuer);
  }

  ticketKeysNotBefore(): Date | undefined {
    return this.#ticketKeysNotBefore;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async start(): Promise<void> {
    const { store, generations, log } = this.#context;
    this.#unfollow.push(
      store.onFeed(() => {
        this.#refresh().catch((error: unknown) => {
          log.error({ err: error }, 'campaigns could not be read');
        });
      }),
    );
    await this.#refresh();
    await destroyRetiredTokenKeys({ context: this.#context });
    await this.#heartbeat.beat();
    const beats = this.#repeat(this.#settings.heartbeatMs, 'sign of life failed', () =>
      this.#heartbeat.beat(),
    );
    const hasten = () => {
      beats.hasten();
    };
    this.#unfollow.push(generations.onChange(hasten), this.#onIssuing?.(hasten) ?? nothing);
    if (!this.#settings.automatic) return;
    this.#repeat(this.#settings.driverMs, 'automatic rotation failed', async () => {
      await this.#finishCampaigns();
      await this.#driver.tick();
    });
  }

  async close(): Promise<void> {
    for (const unfollow of this.#unfollow.splice(0)) unfollow();
    await Promise.all(this.#repetitions.map((repetition) => repetition.stop()));
    if (this.#repetitions.length === 0) return;
    await this.#heartbeat.leave().catch((error: unknown) => {
      this.#context.log.warn({ err: error }, 'replica could not take its leave');
    });
  }

  #repeat(everyMs: number, problem: string, task: () => Promise<void>): Repetition {
    const onError = (error: unknown) => {
      this.#context.log.error({ err: error }, problem);
    };
    const repetition = repeat(this.#timers, everyMs, task, onError);
    this.#repetitions.push(repetition);
    return repetition;
  }

  async #take(request: RotationRequest): Promise<RotationGeneration> {
    const { kind } = request;
    const { store } = this.#context;
    if (kind === 'ticket') {
      return await store.transact(async (transaction) => {
        const result = await orderTicketKeys(transaction, request);
        await request.record?.(transaction, result);
        return result;
      });
    }
    const tools = {
      context: this.#context,
      settings: this.#settings,
      tokenKeys: this.#tokenKeys,
      transact: store.transact.bind(store),
    };
    return kind === 'token'
      ? await takeTokenKeyStep(tools, request)
      : await takeStep(tools, { ...request, kind });
  }

  /** A step that was refused for what was counted has been asked for by somebody: it is audited. */
  async #auditRefusal(request: RotationRequest, { reason, message }: ServiceError): Promise<void> {
    const { kind, step, number, caller } = request;
    await this.#context.store
      .transact((transaction) => {
        transaction.audit({
          actor: caller.name,
          action: `rotation.${step}`,
          subject: number === undefined ? kind : `${kind} ${String(number)}`,
          outcome: 'refused',
          details: { reason, message },
        });
        return Promise.resolve();
      })
      .catch((error: unknown) => {
        this.#context.log.error({ err: error, kind, step }, 'refused step could not be audited');
      });
  }

  /** Reads what followers are told. Asked for while a read is under way, there is one more after it. */
  #refresh(): Promise<void> {
    this.#next ??= (this.#reading ?? Promise.resolve()).then(() => {
      const reading = this.#read();
      this.#next = undefined;
      this.#reading = reading.catch(() => undefined);
      return reading;
    });
    return this.#next;
  }

  async #read(): Promise<void> {
    const changed = await this.#slots.refresh();
    const order = (await readTicketKeyOrder(this.#context.store.queries))?.notBefore;
    const ordered = order?.getTime() !== this.#ticketKeysNotBefore?.getTime();
    this.#ticketKeysNotBefore = order;
    if (changed || ordered) for (const listener of this.#listeners) listener();
  }

  /** Ends reissues that have reached every host. */
  async #finishCampaigns(): Promise<void> {
    const { store } = this.#context;
    const now = this.#context.now().getTime();
    const campaigns = await readCampaigns(store.queries, now);
    for (const { issuer, finishedAt } of campaigns) {
      if (finishedAt !== undefined || (await hostsBelow(store.queries, issuer, now)) > 0) continue;
      await store.transact(async (transaction) => {
        await finishCampaigns(transaction.queries, [issuer], transaction.now);
      });
    }
  }
}

const nothing = (): void => undefined;

function signingNumber({ generations }: AuthorityContext): number {
  const signing = generations.all().find((each) => {
    return each.kind === 'issuing' && each.state === 'signing';
  });
  return signing?.number ?? 0;
}
