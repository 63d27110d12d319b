import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { z } from 'zod';
import { ConfigurationError } from './configuration-error.ts';
import { readYaml, type YamlSource } from './yaml-source.ts';

/** Says what is wrong with a setting. */
export type ReportSetting = (path: readonly PropertyKey[], message: string) => void;

/** What a configuration file may hold. */
export interface SettingsForm<Schema extends z.ZodType> {
  readonly schema: Schema;
  /** Reports what each setting by itself cannot show. */
  readonly contradictions: (raw: z.output<Schema>, report: ReportSetting) => void;
}

/** Reads a configuration file. Throws {@link ConfigurationError} with everything that is wrong with it. */
export function readSettings<Config>(
  file: string,
  parse: (text: string, file: string) => Config,
): Config {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigurationError([`${file}: ${message}`]);
  }
  return parse(text, resolve(file));
}

/** Checks the text of a configuration file, which `file` names. Throws {@link ConfigurationError}. */
export function parseSettings<Schema extends z.ZodType>(
  text: string,
  file: string,
  form: SettingsForm<Schema>,
): z.output<Schema> {
  const source = readYaml(text, file);
  if (source.problems.length > 0) throw new ConfigurationError(source.problems);
  const parsed = form.schema.safeParse(source.value);
  const problems = parsed.success
    ? contradictionsOf(parsed.data, source, form)
    : [
        ...parsed.error.issues.flatMap((issue) => describe(issue, source)),
        ...behindUnknownKeys(source, parsed.error.issues, form),
      ];
  if (!parsed.success || problems.length > 0) throw new ConfigurationError(problems);
  return parsed.data;
}

/** Keys nobody knows must not hide what is wrong with the others: looks again without them. */
function behindUnknownKeys<Schema extends z.ZodType>(
  source: YamlSource,
  issues: readonly z.core.$ZodIssue[],
  form: SettingsForm<Schema>,
): readonly string[] {
  const value = structuredClone(source.value);
  for (const issue of issues) {
    if (issue.code !== 'unrecognized_keys') return [];
    const holder = issue.path.reduce<unknown>(
      (inner, key) => (isMap(inner) ? inner[String(key)] : undefined),
      value,
    );
    if (!isMap(holder)) return [];
    for (const key of issue.keys) Reflect.deleteProperty(holder, key);
  }
  const parsed = form.schema.safeParse(value);
  return parsed.success ? contradictionsOf(parsed.data, source, form) : [];
}

function contradictionsOf<Schema extends z.ZodType>(
  raw: z.output<Schema>,
  source: YamlSource,
  { contradictions }: SettingsForm<Schema>,
): readonly string[] {
  const problems: string[] = [];
  contradictions(raw, (path, message) => {
    problems.push(`${source.place(path)}: ${pathText(path)}: ${message}`);
  });
  return problems;
}

function describe(issue: z.core.$ZodIssue, source: YamlSource): readonly string[] {
  const setting = issue.path.length === 0 ? '' : `${pathText(issue.path)}: `;
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(
      (key) => `${source.placeOfKey(issue.path, key)}: ${setting}unknown setting "${key}"`,
    );
  }
  if (issue.code === 'invalid_key') {
    const key = String(issue.path.at(-1));
    return [
      `${source.placeOfKey(issue.path.slice(0, -1), key)}: ${setting}${issue.issues[0]?.message ?? issue.message}`,
    ];
  }
  return [`${source.place(issue.path)}: ${setting}${issue.message}`];
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((part) => (typeof part === 'number' ? `[${String(part)}]` : `.${String(part)}`))
    .join('')
    .replace(/^\./u, '');
}
