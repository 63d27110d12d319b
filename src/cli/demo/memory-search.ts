import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

/** Bytes to look for, under the name they are reported by. */
export interface Pattern {
  readonly name: string;
  readonly bytes: Buffer;
}

export interface SearchResult {
  /** Names of the patterns that were there. */
  readonly found: readonly string[];
  /** Memory read. */
  readonly searchedBytes: number;
  /** Resident memory the system would not let us read; 0 where the search was complete. */
  readonly unreadableBytes: number;
}

/** Why the memory of a process cannot be searched here; `undefined`: it can. */
export function searchObstacle(pid: number): string | undefined {
  if (process.platform !== 'linux') {
    return 'this system does not show the memory of a process as a file';
  }
  try {
    closeSync(openSync(`/proc/${String(pid)}/mem`, 'r'));
    return undefined;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code !== 'EACCES' && code !== 'EPERM') throw error;
    return 'this system does not let a process look into the memory of its children';
  }
}

/**
 * Looks for byte patterns in all resident memory of another process: heap, stacks, libraries, and
 * pages it has since made unreadable for itself. The process stands still meanwhile, so nothing
 * can move from a part not yet read to one already read.
 *
 * @throws if this process may not look (another user's process, a restricted container)
 */
export function searchMemory(pid: number, patterns: readonly Pattern[]): SearchResult {
  const memory = openSync(`/proc/${String(pid)}/mem`, 'r');
  process.kill(pid, 'SIGSTOP');
  try {
    const found = new Set<string>();
    let searchedBytes = 0;
    let unreadableBytes = 0;
    for (const region of residentRegions(pid)) {
      const read = searchRegion(memory, region, patterns, found);
      searchedBytes += read;
      const unread = Number(region.end - region.start) - read;
      unreadableBytes += Math.min(unread, region.residentBytes);
    }
    return { found: [...found], searchedBytes, unreadableBytes };
  } finally {
    process.kill(pid, 'SIGCONT');
    closeSync(memory);
  }
}

interface Region {
  readonly start: bigint;
  readonly end: bigint;
  readonly residentBytes: number;
}

function searchRegion(
  memory: number,
  region: Region,
  patterns: readonly Pattern[],
  found: Set<string>,
): number {
  const overlap = Math.max(...patterns.map(({ bytes }) => bytes.length)) - 1;
  let searched = 0;
  // Bytes at the end of one window are searched again with the next: a pattern may lie across.
  let kept = 0;
  for (let position = region.start; position < region.end;) {
    const wanted = Math.min(windowBytes - kept, Number(region.end - position));
    const length = readAt(memory, kept, wanted, position);
    if (length === 0) break;
    const filled = window.subarray(0, kept + length);
    for (const { name, bytes } of patterns) {
      if (!found.has(name) && filled.includes(bytes)) found.add(name);
    }
    searched += length;
    position += BigInt(length);
    kept = Math.min(overlap, filled.length);
    window.copyWithin(0, filled.length - kept, filled.length);
  }
  window.fill(0);
  return searched;
}

/** Bytes read; 0 where the system refuses, as it does for its own pages. */
function readAt(memory: number, offset: number, length: number, position: bigint): number {
  try {
    return readSync(memory, window, offset, length, position);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EIO') return 0;
    throw error;
  }
}

/** Mappings of which at least a page is in memory or swap; `man 5 proc` describes the file. */
function residentRegions(pid: number): readonly Region[] {
  const regions: Region[] = [];
  let range: { start: bigint; end: bigint } | undefined;
  let resident = 0;
  for (const line of readFileSync(`/proc/${String(pid)}/smaps`, 'latin1').split('\n')) {
    const header = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (header?.[1] !== undefined && header[2] !== undefined) {
      if (range !== undefined && resident > 0) regions.push({ ...range, residentBytes: resident });
      range = { start: BigInt(`0x${header[1]}`), end: BigInt(`0x${header[2]}`) };
      resident = 0;
    }
    const amount = /^(?:Rss|Swap): +(\d+) kB/.exec(line);
    if (amount !== null) resident += Number(amount[1]) * 1024;
  }
  if (range !== undefined && resident > 0) regions.push({ ...range, residentBytes: resident });
  return regions;
}

const windowBytes = 4 * 1024 * 1024;
const window = Buffer.alloc(windowBytes);
