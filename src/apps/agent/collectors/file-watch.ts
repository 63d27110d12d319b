import { join } from 'node:path';
import { z } from 'zod';
import { readBounded, type StateDirectory } from '../../../identity/index.ts';
import { watchedFile } from '../../fleet/agent-api/messages.ts';
import type { EventSink } from '../events/event-spool.ts';
import type { Surroundings } from '../surroundings.ts';
import { type DigestLimits, FileDigester, NotDigestedError } from './file-digest.ts';
import { expandPaths, leadsWithin } from './watched-paths.ts';

export type WatchedFile = z.infer<typeof watchedFile>;

/** What to watch, as configured. */
export interface WatchOrder {
  readonly files: readonly string[];
  readonly intervalSeconds: number;
  /** Stands for this order: with another one, files are as they should be however they are found. */
  readonly generation: string;
}

export interface FileWatchOptions {
  readonly directory: StateDirectory;
  readonly allow: readonly string[];
  readonly limits: DigestLimits;
  readonly events: EventSink;
  readonly surroundings: Surroundings;
}

const memory = z.object({
  generation: z.string(),
  /** As they were when they were first seen under this order. */
  baseline: z.record(z.string(), watchedFile),
  files: z.array(watchedFile),
});

/**
 * Files whose content is compared with what it was when they were first looked at. Changes while the agent was away are
 * found as well: what is known is on disk.
 */
export class FileWatch {
  readonly #options: FileWatchOptions;
  readonly #stop = new AbortController();
  readonly #digester: FileDigester;
  #order: WatchOrder | undefined;
  #known: z.infer<typeof memory> | undefined;
  #problems: readonly string[] = [];
  #stopTimer: (() => void) | undefined;
  #scanning: Promise<void> = Promise.resolve();

  constructor(options: FileWatchOptions) {
    this.#options = options;
    const { limits, surroundings } = options;
    this.#digester = new FileDigester(limits, surroundings.timers, this.#stop.signal);
  }

  /** As last seen. */
  get files(): readonly WatchedFile[] {
    return this.#known?.files ?? [];
  }

  get problems(): readonly string[] {
    return this.#problems;
  }

  /** Watches these from now on, in the place of what was watched. */
  watch(order: WatchOrder): void {
    if (this.#closed) return;
    this.#order = order;
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    void this.scan();
  }

  /** Looks at all of them now; what goes wrong is a problem to be told of. */
  scan(): Promise<void> {
    this.#scanning = this.#scanning.then(async () => {
      const order = this.#order;
      if (order === undefined) return;
      try {
        await this.#scan(order);
      } catch (error) {
        if (this.#closed) return;
        this.#options.surroundings.log.error({ err: error }, 'files cannot be watched');
        this.#problems = ['files cannot be watched'];
      }
      if (this.#order !== order) return;
      this.#stopTimer?.();
      this.#stopTimer = this.#options.surroundings.timers.after(
        order.intervalSeconds * 1000,
        () => {
          void this.scan();
        },
      );
    });
    return this.#scanning;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#order = undefined;
    this.#stopTimer?.();
    await this.#scanning;
  }

  get #closed(): boolean {
    return this.#stop.signal.aborted;
  }

  async #scan(order: WatchOrder): Promise<void> {
    const known = await this.#remembered(order);
    const { paths, problems } = await expandPaths(order.files, this.#options.allow, maxFiles);
    const isFirst = known === undefined;
    const before = new Map(known?.files.map((file) => [file.path, file]));
    // A file that was there is missed even if its directory no longer leads to it.
    const all = [...new Set([...paths, ...Object.keys(known?.baseline ?? {})])].slice(0, maxFiles);
    const files: WatchedFile[] = [];
    const baseline: Record<string, WatchedFile> = { ...known?.baseline };
    const listed = new Set(paths);
    for (const path of all) {
      const seen = listed.has(path) ? await this.#look(path) : await this.#lookBack(path);
      if (isFirst) baseline[path] = seen;
      const file = isFirst ? seen : compared(seen, baseline[path]);
      files.push(file);
      this.#tell(file, before.get(path), isFirst);
    }
    this.#problems = problems;
    await this.#remember({ generation: order.generation, baseline, files });
  }

  /** One that is known but was not found: what leads to it may lead elsewhere by now. */
  async #lookBack(path: string): Promise<WatchedFile> {
    const isWithin = await leadsWithin(path, this.#options.allow);
    return isWithin ? await this.#look(path) : { path, state: 'unreadable' };
  }

  async #look(path: string): Promise<WatchedFile> {
    try {
      return { path, state: 'ok', ...(await this.#digester.digest(path)) };
    } catch (error) {
      this.#stop.signal.throwIfAborted();
      const isMissing = error instanceof Error && 'code' in error && missing.has(error.code);
      if (isMissing) return { path, state: 'missing' };
      if (!(error instanceof Error)) throw error;
      if (!(error instanceof NotDigestedError || 'code' in error)) throw error;
      return { path, state: 'unreadable' };
    }
  }

  /** One event for each change, not for each look at it. */
  #tell(file: WatchedFile, before: WatchedFile | undefined, isFirst: boolean): void {
    const same =
      before !== undefined &&
      before.sha256 === file.sha256 &&
      before.mode === file.mode &&
      // Of what cannot be read, its state is all that is known.
      (file.sha256 !== undefined || before.state === file.state);
    if (same || isFirst) return;
    this.#options.events.add('file_changed', `${file.path} is ${file.state}`, {
      path: file.path,
      state: file.state,
      ...(before?.sha256 === undefined ? {} : { before: before.sha256 }),
      ...(file.sha256 === undefined ? {} : { after: file.sha256 }),
      ...(file.mode === undefined ? {} : { mode: file.mode }),
    });
  }

  async #remembered(order: WatchOrder): Promise<z.infer<typeof memory> | undefined> {
    this.#known ??= await this.#read();
    return this.#known?.generation === order.generation ? this.#known : undefined;
  }

  async #read(): Promise<z.infer<typeof memory> | undefined> {
    const { directory, surroundings } = this.#options;
    const bytes = await readBounded(join(directory.path, fileName), maxBytes);
    if (bytes === undefined) return undefined;
    try {
      return memory.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
    } catch (error) {
      surroundings.log.error({ err: error }, 'what is known of watched files is damaged');
      this.#options.events.add('problem', 'what is known of watched files was lost');
      return undefined;
    }
  }

  async #remember(known: z.infer<typeof memory>): Promise<void> {
    const unchanged = JSON.stringify(known) === JSON.stringify(this.#known);
    this.#known = known;
    if (unchanged) return;
    await this.#options.directory.replace(fileName, Buffer.from(`${JSON.stringify(known)}\n`));
  }
}

function compared(seen: WatchedFile, baseline: WatchedFile | undefined): WatchedFile {
  if (seen.state !== 'ok') return seen;
  if (baseline === undefined || baseline.state === 'missing') return { ...seen, state: 'new' };
  const same = baseline.sha256 === seen.sha256 && baseline.mode === seen.mode;
  return same ? seen : { ...seen, state: 'changed' };
}

const missing: ReadonlySet<unknown> = new Set(['ENOENT', 'ENOTDIR']);
const maxFiles = 4096;
const maxBytes = 64 * 1024 * 1024;
const fileName = 'files.json';
