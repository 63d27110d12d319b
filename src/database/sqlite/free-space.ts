import { statfs } from 'node:fs/promises';

/** Looks every few seconds how much room the disk has left. */
export class FreeSpace {
  readonly #directory: string;
  readonly #minBytes: number;
  readonly #timer: NodeJS.Timeout;
  #problem: string | undefined;

  private constructor(directory: string, minBytes: number) {
    this.#directory = directory;
    this.#minBytes = minBytes;
    this.#timer = setInterval(() => {
      void this.look();
    }, lookEveryMs).unref();
  }

  static async watch(directory: string, minBytes: number): Promise<FreeSpace> {
    const space = new FreeSpace(directory, minBytes);
    await space.look();
    return space;
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  /** A write found the disk full. */
  full(): void {
    this.#problem = diskFull;
  }

  /** A write went through. */
  roomAgain(): void {
    if (this.#problem === diskFull) void this.look();
  }

  async look(): Promise<void> {
    try {
      const { bavail, bsize } = await statfs(this.#directory);
      const free = bavail * bsize;
      this.#problem =
        free >= this.#minBytes
          ? undefined
          : `the disk has ${String(Math.floor(free / mebibyte))} MiB left, less than ${String(Math.ceil(this.#minBytes / mebibyte))} MiB`;
    } catch (error) {
      this.#problem = `the disk cannot be looked at: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

const diskFull = 'the disk is full';
const lookEveryMs = 5000;
const mebibyte = 1024 * 1024;
