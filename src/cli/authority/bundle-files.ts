import { randomBytes } from 'node:crypto';
import { link, mkdir, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * A directory that bundle files are written to: readable by their owner only, each there as a whole
 * or not at all, and never in place of another file.
 */
export class BundleDirectory {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Makes the directory, closed to others, if need be. */
  static async open(path: string): Promise<BundleDirectory> {
    await mkdir(path, { recursive: true, mode: 0o700 });
    return new BundleDirectory(path);
  }

  /**
   * Writes `NAME.bundle`, or `NAME-00001.bundle` with a number, and wipes `content`.
   *
   * @returns its path
   * @throws if there is a file of that name
   */
  async write(content: Uint8Array, name: string, number: number | undefined): Promise<string> {
    const suffix = number === undefined ? '' : `-${String(number).padStart(5, '0')}`;
    const path = join(this.#path, `${name}${suffix}.bundle`);
    const temporary = join(this.#path, `.${randomBytes(8).toString('hex')}`);
    const file = await open(temporary, 'wx', 0o600);
    try {
      try {
        await file.writeFile(content);
      } finally {
        content.fill(0);
        await file.close();
      }
      // Unlike a rename, a link fails if there is such a file.
      await link(temporary, path);
    } finally {
      await unlink(temporary);
    }
    return path;
  }

  /**
   * Makes the names durable. The content is left to the system: a bundle lost to a power cut is
   * noticed, as it is signed, and its token can be revoked and minted anew.
   */
  async sync(): Promise<void> {
    const directory = await open(this.#path, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }
}
