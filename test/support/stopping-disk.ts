import { constants, mkdtempSync, promises, rmSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What a program that was killed does no more. */
export class DiskStopped extends Error {
  readonly code = 'EIO';
}

/**
 * A directory on which nothing is changed any more from its n-th change on, as by a program that is killed there. All of
 * `node:fs/promises` goes through it while it is installed; what is read is read.
 */
export class StoppingDisk {
  readonly directory: string;
  /** Changes so far: files made, written, synced, renamed and removed. */
  steps = 0;
  /** It stopped at something that could be half done. */
  stoppedWriting = false;
  /** May be moved: a disk that was full can have room again. */
  stopAt: number;
  readonly #halfWritten: boolean;

  constructor(directory: string, stopAt: number, halfWritten: boolean) {
    this.directory = directory;
    this.stopAt = stopAt;
    this.#halfWritten = halfWritten;
  }

  get stopped(): boolean {
    return this.steps >= this.stopAt;
  }

  /** Something that is no file, but a moment one can be killed at. Throws once it is stopped. */
  step(): void {
    this.steps += 1;
    if (this.stopped) throw new DiskStopped('the disk has stopped');
  }

  /** Answers how to have the real one again. */
  install(): () => void {
    const replaced = Object.entries(this.#changed()) as [keyof typeof promises, unknown][];
    const before = replaced.map(([name]) => [name, promises[name]] as const);
    Object.assign(promises, Object.fromEntries(replaced));
    syncBuiltinESMExports();
    return () => {
      Object.assign(promises, Object.fromEntries(before));
      syncBuiltinESMExports();
    };
  }

  #changed(): Partial<Record<keyof typeof promises, unknown>> {
    const guarded = (name: 'mkdir' | 'rename' | 'rm' | 'symlink', which = 0) => {
      const real = promises[name] as (...args: unknown[]) => Promise<unknown>;
      return async (...args: unknown[]): Promise<unknown> => {
        if (String(args[which]).startsWith(this.directory)) this.step();
        return await real(...args);
      };
    };
    const { open } = promises;
    return {
      mkdir: guarded('mkdir'),
      rename: guarded('rename'),
      rm: guarded('rm'),
      symlink: guarded('symlink', 1),
      open: async (path: string, flags: string | number, ...rest: number[]) => {
        if (!path.startsWith(this.directory)) return await open(path, flags, ...rest);
        if (flags === 'wx' || (Number(flags) & constants.O_CREAT) !== 0) this.step();
        return this.#guardedHandle(await open(path, flags, ...rest));
      },
    };
  }

  #guardedHandle(handle: FileHandle): FileHandle {
    return new Proxy(handle, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        const method = value as (...args: unknown[]) => Promise<unknown>;
        if (!changing.has(name)) return method.bind(target);
        return async (...args: unknown[]): Promise<unknown> => {
          const isFirst = !this.stopped;
          try {
            this.step();
          } catch (error) {
            if (isFirst) this.stoppedWriting = name === 'write' || name === 'writeFile';
            if (isFirst && this.#halfWritten) await writeHalf(target, name, args);
            throw error;
          }
          // Who is killed loses nothing that was written: only whoever loses power waits for this.
          if (name === 'sync' || name === 'datasync') return undefined;
          return await method.apply(target, args);
        };
      },
    });
  }
}

const changing: ReadonlySet<string | symbol> = new Set([
  'write',
  'writeFile',
  'sync',
  'datasync',
  'truncate',
]);

async function writeHalf(
  handle: FileHandle,
  name: string | symbol,
  args: readonly unknown[],
): Promise<void> {
  const [bytes, offset = 0, length, position] = args as [
    Uint8Array,
    number?,
    number?,
    (number | null)?,
  ];
  if (name === 'writeFile') await handle.write(bytes, 0, Math.floor(bytes.length / 2), 0);
  if (name === 'write') {
    await handle.write(
      bytes,
      offset,
      Math.floor((length ?? bytes.length - offset) / 2),
      position ?? null,
    );
  }
}

export interface Killed {
  /** Begins in an empty directory; may reject with anything once the disk has stopped. */
  readonly run: (disk: StoppingDisk) => Promise<void>;
  /** Comes back to what is left, and looks at it; `step`, to say which it was. */
  readonly comeBack: (directory: string, step: string) => Promise<void>;
}

/** Does something again and again, killed at each step in turn, also half-way through what is written; answers how many there are. */
export async function killedAtEveryStep({ run, comeBack }: Killed): Promise<number> {
  for (let stopAt = 1; ; stopAt += 1) {
    let isOver = false;
    let canBeHalf = true;
    for (const halfWritten of [false, true]) {
      if (halfWritten && !canBeHalf) break;
      const directory = mkdtempSync(join(tmpdir(), 'sidekey-killed-'));
      try {
        const disk = new StoppingDisk(directory, stopAt, halfWritten);
        await on(disk, run);
        isOver = !disk.stopped;
        canBeHalf = disk.stoppedWriting;
        const step = `killed at ${String(stopAt)}${halfWritten ? ', half-way' : ''}`;
        await on(new StoppingDisk(directory, Infinity, false), () => comeBack(directory, step));
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    }
    if (isOver) return stopAt - 1;
  }
}

async function on(disk: StoppingDisk, work: Killed['run']): Promise<void> {
  const restore = disk.install();
  try {
    await work(disk);
  } catch (error) {
    if (!disk.stopped) throw error;
  } finally {
    restore();
  }
}
