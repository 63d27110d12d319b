import { open, statfs } from 'node:fs/promises';
import { freemem, hostname, loadavg, machine, release, totalmem, type, uptime } from 'node:os';

export interface SystemFacts {
  readonly hostname: string;
  readonly system: string;
  readonly uptimeSeconds: number;
  readonly load: [number, number, number];
  readonly memory: { readonly totalBytes: number; readonly availableBytes: number };
}

export interface DiskFacts {
  readonly path: string;
  readonly totalBytes: number;
  readonly availableBytes: number;
}

/** Of this host, as the kernel tells. */
export async function systemFacts(): Promise<SystemFacts> {
  const [one = 0, five = 0, fifteen = 0] = loadavg();
  return {
    hostname: hostname().slice(0, 255),
    system: `${type()} ${release()} ${machine()}`.slice(0, 255),
    uptimeSeconds: Math.floor(uptime()),
    load: [one, five, fifteen],
    memory: { totalBytes: totalmem(), availableBytes: await availableBytes() },
  };
}

/** Of the file systems these paths are on; one that cannot be asked is left out. */
export async function diskFacts(paths: readonly string[]): Promise<DiskFacts[]> {
  const disks = await Promise.all(
    paths.map(async (path) => {
      try {
        const { bsize, blocks, bavail } = await statfs(path);
        return [{ path, totalBytes: bsize * blocks, availableBytes: bsize * bavail }];
      } catch {
        // Not there (any more): the manager sees that it is missing.
        return [];
      }
    }),
  );
  return disks.flat();
}

/** What programs could get without swapping (proc_meminfo(5)), which is more than what is free. */
async function availableBytes(): Promise<number> {
  try {
    const handle = await open('/proc/meminfo', 'r');
    try {
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(8192), 0, 8192, 0);
      const kibibytes = /^MemAvailable:\s+(\d{1,12}) kB$/mu.exec(
        buffer.toString('latin1', 0, bytesRead),
      )?.[1];
      return kibibytes === undefined ? freemem() : Number(kibibytes) * 1024;
    } finally {
      await handle.close();
    }
  } catch {
    // Not Linux.
    return freemem();
  }
}
