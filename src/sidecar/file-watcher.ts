import { type FSWatcher, lstatSync, readlinkSync, watch } from 'node:fs';
import { dirname, join, parse, resolve, sep } from 'node:path';

/**
 * Calls back when files may have changed. Directories are watched, not files, because programs
 * replace files by renaming, and every directory on the way that holds a symbolic link, because
 * orchestrators swap a whole directory by changing one link. Says "may": the callback looks itself.
 */
export class FileWatcher {
  readonly #paths: readonly string[];
  readonly #onChange: () => void;
  readonly #settleMs: number;
  readonly #watchers = new Map<string, FSWatcher>();
  #timer: NodeJS.Timeout | undefined;
  #recheck: NodeJS.Timeout | undefined;

  /**
   * `settleMs` is how long to wait for the second of two files that change together, `recheckMs`
   * how often to call back although nothing was reported.
   */
  constructor(
    paths: readonly string[],
    onChange: () => void,
    timing: { readonly settleMs: number; readonly recheckMs: number },
  ) {
    this.#paths = paths;
    this.#onChange = onChange;
    this.#settleMs = timing.settleMs;
    this.#watchDirectories();
    // Some file systems (network, overlay) report nothing.
    this.#recheck = setInterval(() => {
      this.#changed();
    }, timing.recheckMs);
    this.#recheck.unref();
  }

  close(): void {
    clearTimeout(this.#timer);
    clearInterval(this.#recheck);
    this.#recheck = undefined;
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #changed(): void {
    if (this.#recheck === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#watchDirectories();
      this.#onChange();
    }, this.#settleMs);
    this.#timer.unref();
  }

  #watchDirectories(): void {
    const wanted = new Set(this.#paths.flatMap((path) => directoriesOf(path)));
    for (const [directory, watcher] of this.#watchers) {
      if (wanted.has(directory)) continue;
      watcher.close();
      this.#watchers.delete(directory);
    }
    for (const directory of wanted) {
      if (!this.#watchers.has(directory)) this.#watchDirectory(directory);
    }
  }

  #watchDirectory(directory: string): void {
    try {
      const watcher = watch(directory, { persistent: false }, () => {
        this.#changed();
      });
      watcher.on('error', () => {
        watcher.close();
        this.#watchers.delete(directory);
      });
      this.#watchers.set(directory, watcher);
    } catch (error) {
      // The directory is gone or watches are used up: the regular look finds out.
      if (!(error instanceof Error)) throw error;
    }
  }
}

/** Directories in which a change can make `path` lead to another file. */
function directoriesOf(path: string): readonly string[] {
  const directories = new Set<string>();
  collect(resolve(path), directories, 0);
  return [...directories];
}

function collect(path: string, directories: Set<string>, depth: number): void {
  if (depth > maxLinks) return;
  const { root } = parse(path);
  let current = root;
  const parts = path.slice(root.length).split(sep);
  for (const [index, part] of parts.entries()) {
    current = join(current, part);
    const stats = lstatOf(current);
    if (stats?.isSymbolicLink() === true) {
      directories.add(dirname(current));
      const target = resolve(dirname(current), readlinkSync(current));
      collect(join(target, ...parts.slice(index + 1)), directories, depth + 1);
      return;
    }
  }
  directories.add(dirname(path));
}

function lstatOf(path: string): ReturnType<typeof lstatSync> {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}

const maxLinks = 16;
