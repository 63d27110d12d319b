import { lstat, readdir, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Whether a path, as it is written, is one of these or below one; nothing in it may lead elsewhere. */
export function isBelow(path: string, allowed: readonly string[]): boolean {
  if (!path.startsWith('/') || path.includes('\0')) return false;
  const segments = path.split('/').slice(1);
  if (path !== '/' && segments.some((one) => one === '' || one === '.' || one === '..'))
    return false;
  return allowed.some((one) => {
    const base = one === '/' ? '/' : `${one.replace(/\/+$/u, '')}/`;
    return `${path}/`.startsWith(base);
  });
}

/** What was found of the paths to watch. */
export interface FoundPaths {
  /** Regular files and what cannot be looked at, sorted. */
  readonly paths: readonly string[];
  readonly problems: readonly string[];
}

/**
 * The files that paths stand for: a file itself, of a directory all below. Links are not followed, and where a
 * path leads by one of its directories must be allowed as well as the path itself. At most `max`.
 */
export async function expandPaths(
  configured: readonly string[],
  allowed: readonly string[],
  max: number,
): Promise<FoundPaths> {
  const real = await realOf(allowed);
  const paths = new Set<string>();
  const problems = new Set<string>();
  const visit = async (path: string, depth: number): Promise<void> => {
    if (paths.size >= max) {
      problems.add(`more than ${String(max)} files are to be watched`);
      return;
    }
    const found = await lstat(path).catch(() => undefined);
    if (found?.isDirectory() !== true) {
      paths.add(path);
      return;
    }
    if (depth >= maxDepth) {
      problems.add(`${path} is nested too deep`);
      return;
    }
    const names = await readdir(path).catch(() => {
      problems.add(`${path} cannot be listed`);
      return [];
    });
    for (const name of names.sort()) await visit(join(path, name), depth + 1);
  };
  for (const path of configured) {
    const leadsTo = await realpath(path).catch(() => undefined);
    if (leadsTo !== undefined && !isBelow(leadsTo, [...real, ...allowed])) {
      problems.add(`${path} leads to ${leadsTo}, which is not allowed`);
      continue;
    }
    await visit(path, 0);
  }
  return { paths: [...paths].sort(), problems: [...problems] };
}

/** Whether the directory of a path is, links followed, one of those allowed or below one, or is not there. */
export async function leadsWithin(path: string, allowed: readonly string[]): Promise<boolean> {
  const directory = await realpath(dirname(path)).catch(() => undefined);
  if (directory === undefined) return true;
  const leadsTo = join(directory, basename(path));
  return isBelow(leadsTo, [...(await realOf(allowed)), ...allowed]);
}

/** Where allowed paths lead; those that do not exist stay as they are. */
async function realOf(paths: readonly string[]): Promise<readonly string[]> {
  return await Promise.all(paths.map(async (path) => await realpath(path).catch(() => path)));
}

const maxDepth = 16;
