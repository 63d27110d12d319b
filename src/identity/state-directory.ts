import { constants } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { wipe } from '../bytes/bytes.ts';
import { DirectoryInUseError, DirectoryLock } from './directory-lock.ts';
import {
  decodeStateFile,
  encodeStateFile,
  StateFileError,
  type StateFileKind,
} from './state-file.ts';
import { Turns } from './turns.ts';

/** What was found when a file was looked for. */
export interface FoundState {
  /** In memory of the caller, who wipes it if it holds keys. Absent: there is no usable file. */
  readonly body: Uint8Array | undefined;
  /** What is wrong with a file or its copy, by name; nothing for files that are not there. */
  readonly problems: readonly string[];
}

/**
 * The files of one identity. A file is replaced as a whole: written beside it, synced, renamed, and
 * the directory synced, so that at any moment the old one or the new one is there. Each has a copy, as
 * disks lose what was written well.
 */
export class StateDirectory {
  readonly path: string;
  readonly #turns = new Turns();
  #lock: DirectoryLock | undefined;
  #closed = false;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Makes the directory if it is missing, locks it, and removes what a crash left unfinished. On a
   * disk that cannot be written, files can still be read. Rejects with {@link DirectoryInUseError}.
   */
  static async open(path: string): Promise<StateDirectory> {
    const directory = new StateDirectory(path);
    try {
      await makeDirectory(path);
      directory.#takeLock();
      for (const name of await readdir(path)) {
        if (name.endsWith(temporarySuffix)) await rm(join(path, name), { force: true });
      }
    } catch (error) {
      // Keys on a read-only disk are as good as any: writing is tried again when there is a need.
      if (error instanceof DirectoryInUseError) throw error;
      if (!(await isDirectory(path))) throw error;
    }
    return directory;
  }

  /** Looks at a file, and at its copy where the file is missing or damaged. */
  async read(kind: StateFileKind): Promise<FoundState> {
    const problems: string[] = [];
    for (const name of [kind, copyOf(kind)]) {
      const path = join(this.path, name);
      let file: Uint8Array | undefined;
      try {
        file = await readBounded(path);
        if (file === undefined) continue;
        return { body: Uint8Array.from(decodeStateFile(kind, file)), problems };
      } catch (error) {
        problems.push(`${path} ${problemOf(error)}`);
      } finally {
        if (file !== undefined) wipe(file);
      }
    }
    return { body: undefined, problems };
  }

  /**
   * Replaces a file and its copy durably. `written` is called between the two. Rejects with an error
   * that names the file.
   */
  async write(kind: StateFileKind, body: Uint8Array, written?: () => void): Promise<void> {
    const file = encodeStateFile(kind, body);
    await this.#turns.run(async () => {
      try {
        await this.#replace(kind, file);
        written?.();
        await this.#replace(copyOf(kind), file);
      } finally {
        wipe(file);
      }
    });
  }

  /** Removes a file and its copy durably; both may be missing. */
  remove(kind: StateFileKind): Promise<void> {
    return this.#turns.run(async () => {
      this.#takeLock();
      await rm(join(this.path, kind), { force: true });
      await rm(join(this.path, copyOf(kind)), { force: true });
      await syncDirectory(this.path);
    });
  }

  /**
   * As {@link remove}, for keys that nobody may have any more: what the files held is overwritten first.
   * A disk that writes elsewhere what is overwritten keeps it all the same.
   */
  destroy(kind: StateFileKind): Promise<void> {
    return this.#turns.run(async () => {
      this.#takeLock();
      for (const name of [kind, copyOf(kind)]) {
        const old = await openOld(join(this.path, name));
        await rm(join(this.path, name), { force: true });
        await overwrite(old);
      }
      await syncDirectory(this.path);
    });
  }

  /** As {@link write}, destroying what the files held before. */
  async supersede(kind: StateFileKind, body: Uint8Array): Promise<void> {
    const file = encodeStateFile(kind, body);
    await this.#turns.run(async () => {
      try {
        for (const name of [kind, copyOf(kind)]) {
          const old = await openOld(join(this.path, name));
          try {
            await this.#replace(name, file);
          } catch (error) {
            await old?.close();
            throw error;
          }
          await overwrite(old);
        }
      } finally {
        wipe(file);
      }
    });
  }

  /** Replaces one file by bytes as they are. */
  replace(name: string, bytes: Uint8Array): Promise<void> {
    return this.#turns.run(() => this.#replace(name, bytes));
  }

  /** Resolves when nothing is being written any more; nothing can be written later. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#turns.settled();
    this.#lock?.close();
    this.#lock = undefined;
  }

  async #replace(name: string, bytes: Uint8Array): Promise<void> {
    const path = join(this.path, name);
    const temporary = path + temporarySuffix;
    try {
      this.#takeLock();
      await rm(temporary, { force: true });
      const handle = await open(temporary, newFile, 0o600);
      try {
        await handle.writeFile(bytes);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(temporary, path);
      await syncDirectory(this.path);
    } catch (cause) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw new Error(`cannot write ${path}: ${problemOf(cause)}`, { cause });
    }
  }

  #takeLock(): void {
    if (this.#closed) throw new StateFileError('the directory was let go of');
    this.#lock ??= new DirectoryLock(join(this.path, 'lock'));
  }
}

/** A file that is about to lose its name, if it is there. */
async function openOld(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ELOOP') return undefined;
    throw error;
  }
}

/** Overwrites what has no name any more, and closes it. */
async function overwrite(file: FileHandle | undefined): Promise<void> {
  if (file === undefined) return;
  try {
    const { size } = await file.stat();
    await file.write(Buffer.alloc(Math.min(size, maxFileBytes)), 0, null, 0);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** At most `maxBytes` of a regular file; `undefined` if there is none. Follows no symbolic link. */
export async function readBounded(
  path: string,
  maxBytes = maxFileBytes,
): Promise<Uint8Array | undefined> {
  let handle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const found = await handle.stat();
    if (!found.isFile()) throw new StateFileError('is not a regular file');
    if (found.size > maxBytes) {
      throw new StateFileError(`is longer than ${String(maxBytes)} bytes`);
    }
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

/** An error without the path, which it would say twice. */
export function problemOf(error: unknown): string {
  if (error instanceof StateFileError) return error.message;
  switch (codeOf(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'no space is left';
    case 'EROFS':
      return 'the disk is read-only';
    case 'EACCES':
    case 'EPERM':
      return 'permission is denied';
    case 'ELOOP':
      return 'is a symbolic link';
    default:
      return error instanceof Error ? error.message : String(error);
  }
}

/** Makes names in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function makeDirectory(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  // Every directory made is a name in the one above.
  for (let made = path; made.length >= first.length; made = dirname(made)) {
    await syncDirectory(dirname(made));
    if (basename(made) === '') break;
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isDirectory();
  } catch {
    // Not there or not to be looked at: the first error tells more.
    return false;
  }
}

function copyOf(kind: StateFileKind): string {
  return `${kind}.copy`;
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

const temporarySuffix = '.tmp';
const newFile = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
/** A bundle of 32 roots and a hundred intermediates is far below. */
const maxFileBytes = 4 * 1024 * 1024;
