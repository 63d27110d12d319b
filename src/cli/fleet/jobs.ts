import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { z } from 'zod';
import type { configurationOrder, operationOrder } from '../../apps/fleet/admin-api/messages.ts';
import { job, type Job, jobsList, jobTargets } from '../../apps/fleet/admin-api/messages.ts';
import { agentConfiguration } from '../../apps/fleet/agent-api/configuration.ts';
import { createProgress } from '../progress.ts';
import { type OutputFormat, print, printable, printList } from '../terminal.ts';
import { findAgent } from './agents.ts';
import { type FleetClient, ManagerError } from './client.ts';

/** Which agents work is for: those named, those with all of these labels, or all. */
export interface Selected {
  readonly agents: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

/** Makes a configuration the one that all selected agents are to have, and waits until they do. */
export async function configureFleet(
  client: FleetClient,
  options: {
    readonly file: string;
    readonly selected: Selected;
    readonly lifetimeSeconds: number;
    readonly wait: boolean;
  },
  format: OutputFormat,
): Promise<boolean> {
  const content = await readConfiguration(options.file);
  const body: z.input<typeof configurationOrder> = {
    selection: await selectionOf(client, options.selected),
    content,
    lifetimeSeconds: options.lifetimeSeconds,
  };
  const begun = await client.call({ method: 'PUT', path: '/v1/configuration', body }, job);
  return await finish(client, begun, options.wait, format);
}

/** Runs one operation on all selected agents, and waits for it. */
export async function runOperation(
  client: FleetClient,
  options: Omit<z.input<typeof operationOrder>, 'selection'> & {
    readonly selected: Selected;
    readonly wait: boolean;
  },
  format: OutputFormat,
): Promise<boolean> {
  const { selected, wait, ...order } = options;
  const body = { ...order, selection: await selectionOf(client, selected) };
  const begun = await client.call(
    { method: 'POST', path: '/v1/jobs', body, idempotencyKey: randomUUID() },
    job,
  );
  return await finish(client, begun, wait, format);
}

/** Tries again what has not succeeded. */
export async function resumeJob(
  client: FleetClient,
  id: string,
  wait: boolean,
  format: OutputFormat,
): Promise<boolean> {
  const path = `/v1/jobs/${id}/resume`;
  const begun = await client.call({ method: 'POST', path, body: { reason: '' } }, job);
  return await finish(client, begun, wait, format);
}

export async function listJobs(client: FleetClient, format: OutputFormat): Promise<void> {
  const { jobs } = await client.call({ method: 'GET', path: '/v1/jobs' }, jobsList);
  printList(format, jobs, [
    ['JOB', 'KIND', 'WHAT', 'STARTED', 'DONE', 'BY'],
    ...jobs.map((each) => [
      each.id,
      each.kind,
      printable(each.subject),
      `${each.startedAt.slice(0, 19)}Z`,
      `${String(each.counts.succeeded)} of ${String(each.total)}`,
      printable(each.by),
    ]),
  ]);
}

export async function showJob(
  client: FleetClient,
  id: string,
  format: OutputFormat,
): Promise<boolean> {
  const found = await client.call({ method: 'GET', path: `/v1/jobs/${id}` }, job);
  await printTargets(client, found, format);
  return succeeded(found);
}

/** Follows a job to its end. Answers whether every agent succeeded. */
async function finish(
  client: FleetClient,
  begun: Job,
  wait: boolean,
  format: OutputFormat,
): Promise<boolean> {
  if (!wait) {
    print(format === 'json' ? JSON.stringify(begun, null, 2) : `job ${begun.id}`);
    return true;
  }
  const progress = createProgress(begun.subject);
  let current = begun;
  for (;;) {
    const { total, counts } = current;
    const open = counts.waiting + counts.running;
    const failed = total - open - counts.succeeded;
    progress.show(total - open, total, failed === 0 ? '' : `${String(failed)} failed`);
    if (current.endedAt !== undefined) break;
    await delay(pollMs);
    current = await client.call({ method: 'GET', path: `/v1/jobs/${begun.id}` }, job);
  }
  progress.end();
  await printTargets(client, current, format);
  return succeeded(current);
}

async function printTargets(client: FleetClient, done: Job, format: OutputFormat): Promise<void> {
  const targets = [];
  let after: string | undefined;
  do {
    const query = after === undefined ? '' : `&after=${after}`;
    const path = `/v1/jobs/${done.id}/targets?limit=1000${query}`;
    const page = await client.call({ method: 'GET', path }, jobTargets);
    targets.push(...page.targets);
    after = page.next;
  } while (after !== undefined);
  if (format === 'json') {
    print(JSON.stringify({ ...done, targets }, null, 2));
    return;
  }
  printList('table', targets, [
    ['AGENT', 'STATE', 'OUTPUT'],
    ...targets
      .slice(0, shownTargets)
      .map(({ agent, state, exitCode, output }) => [
        agent,
        exitCode === undefined || exitCode === 0 ? state : `${state} (${String(exitCode)})`,
        printable(output.trimEnd().split('\n').at(-1) ?? ''),
      ]),
  ]);
  const counted = Object.entries(done.counts).filter(([, count]) => count > 0);
  const summary = counted.map(([state, count]) => `${String(count)} ${state}`).join(', ');
  print(`job ${done.id}: ${summary === '' ? 'no agent is selected' : summary}`);
}

function succeeded({ total, counts }: Job): boolean {
  return counts.succeeded === total;
}

async function selectionOf(
  client: FleetClient,
  { agents, labels }: Selected,
): Promise<{ agents?: string[]; labels?: Record<string, string> }> {
  const ids = [];
  for (const name of agents) ids.push(await findAgent(client, name));
  return {
    ...(ids.length === 0 ? {} : { agents: ids }),
    ...(Object.keys(labels).length === 0 ? {} : { labels: { ...labels } }),
  };
}

/** Checked here as well, so that a mistake is told by its place in the file. */
async function readConfiguration(file: string): Promise<unknown> {
  const text = await readFile(file, 'utf8');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ManagerError(`${file}: is no JSON`, 'malformed_request');
  }
  const parsed = agentConfiguration.safeParse(value);
  if (parsed.success) return value;
  const [issue] = parsed.error.issues;
  throw new ManagerError(
    `${file}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`,
    'malformed_request',
  );
}

const pollMs = 250;
const shownTargets = 50;
