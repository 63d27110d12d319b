import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Random } from './random.ts';
import { BrokenRule, type Target } from './target.ts';

/** What a run of one target came to. */
export interface Report {
  readonly target: string;
  readonly cases: number;
  readonly kinds: number;
  readonly finds: readonly Find[];
}

export interface Find {
  readonly message: string;
  readonly input: Uint8Array;
}

export interface CampaignOptions {
  readonly seed: number;
  /** Whether to go on after so many cases. */
  readonly goOn: (cases: number) => boolean;
  /** Told of every input of a new kind. */
  readonly onNew?: (input: Uint8Array) => void;
  readonly onFind?: (find: Find) => void;
}

/**
 * Tries the corpus and then mutations of all that has shown something new so far. The same seed
 * gives the same cases in the same order.
 */
export function fuzz(target: Target, options: CampaignOptions): Report {
  const random = new Random(options.seed);
  const pool = [...target.seeds(), ...corpusOf(target).map(({ input }) => input)];
  const kinds = new Set<string>();
  const finds = new Map<string, Find>();
  let cases = 0;
  const attempt = (input: Uint8Array): void => {
    cases += 1;
    try {
      const kind = checked(target, input);
      if (cases % memoryInterval === 0) checkMemory();
      if (kinds.has(kind)) return;
      // Some targets have kinds without end: the sequences of what they answer.
      if (kinds.size < maxKinds) kinds.add(kind);
      if (cases > pool.length) {
        if (pool.length < maxPool) pool.push(Uint8Array.from(input));
        else pool[random.below(maxPool)] = Uint8Array.from(input);
        options.onNew?.(input);
      }
    } catch (error) {
      const find = { message: describe(error), input: Uint8Array.from(input) };
      const kind = find.message.replaceAll(/\d+/gu, '#');
      if (finds.has(kind)) return;
      finds.set(kind, find);
      options.onFind?.(find);
    }
  };
  for (const input of pool.slice()) attempt(input);
  while (options.goOn(cases)) attempt(target.mutate(random, pool));
  return { target: target.name, cases, kinds: kinds.size, finds: [...finds.values()] };
}

/**
 * One case, in bounded CPU time. A slow one is tried again before it counts: other programs may have
 * taken the caches, or the collector its turn.
 */
export function checked(target: Target, input: Uint8Array): string {
  const limitMs = target.maxCpuMs ?? defaultMaxCpuMs;
  let kind = '';
  let fastestMs = Infinity;
  for (let tries = 0; tries < 3 && fastestMs > limitMs; tries++) {
    const before = process.cpuUsage();
    kind = target.check(input);
    const { user, system } = process.cpuUsage(before);
    fastestMs = Math.min(fastestMs, (user + system) / 1000);
  }
  if (fastestMs > limitMs) {
    throw new BrokenRule(`takes ${fastestMs.toFixed(0)} ms of CPU, ${String(limitMs)} allowed`);
  }
  return kind;
}

/** The kept inputs of a target. */
export function corpusOf({ name }: Pick<Target, 'name'>): readonly CorpusFile[] {
  const directory = corpusDirectory(name);
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .sort()
    .map((file) => ({ file, input: readFileSync(new URL(file, directory)) }));
}

export interface CorpusFile {
  readonly file: string;
  readonly input: Uint8Array;
}

/** Keeps an input; answers the path of its file. */
export function keep(target: string, prefix: string, input: Uint8Array): string {
  const hash = createHash('sha256').update(input).digest('hex').slice(0, 12);
  const file = new URL(`${prefix}-${hash}.bin`, corpusDirectory(target));
  mkdirSync(corpusDirectory(target), { recursive: true });
  writeFileSync(file, input);
  return file.pathname;
}

function corpusDirectory(target: string): URL {
  return new URL(`corpus/${target}/`, import.meta.url);
}

function checkMemory(): void {
  const { heapUsed, external } = process.memoryUsage();
  if (heapUsed + external > maxMemoryBytes) throw new BrokenRule('memory grows without bound');
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const place = error instanceof BrokenRule ? undefined : error.stack?.split('\n')[1]?.trim();
  return [`${error.name}: ${error.message}`, place].filter(Boolean).join(' ').slice(0, 400);
}

/** More than any peer may cost us by one call, on a slow machine. */
const defaultMaxCpuMs = 250;
/** What a campaign remembers, so that it can go on for hours. */
const maxKinds = 100_000;
const maxPool = 10_000;
/** Cases between two looks at the memory, which take as long as some cases. */
const memoryInterval = 256;
/** A process that fuzzes holds its corpus and one case. */
const maxMemoryBytes = 768 * 1024 * 1024;
