import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  AdministrationServiceService as Administration,
  type Policy,
} from '../../gen/sidekey/v1/administration.ts';
import { type OutputFormat, print, printList } from '../terminal.ts';
import type { AuthorityClient } from './client.ts';
import { toJson } from './json.ts';
import { formatMoment } from './print.ts';

/** The newest version of each policy. */
export async function listPolicies(client: AuthorityClient, format: OutputFormat): Promise<void> {
  const { policies } = await client.call(Administration.listPolicies, {});
  printList(format, policies.map(policyJson), [
    ['POLICY', 'VERSION', 'MADE', 'BY', 'DOCUMENT'],
    ...policies.map((policy) => [
      policy.name,
      String(policy.version),
      formatMoment(policy.createdAt),
      policy.createdBy,
      policy.document,
    ]),
  ]);
}

/** Adds a version, read from a JSON file. */
export async function putPolicy(
  client: AuthorityClient,
  name: string,
  file: string,
  format: OutputFormat,
): Promise<void> {
  const document = await readFile(file, 'utf8');
  const { policy } = await client.call(Administration.putPolicy, {
    idempotencyKey: randomUUID(),
    name,
    document,
  });
  if (policy === undefined) throw new Error('the authority did not say what it made of it');
  if (format === 'json') print(JSON.stringify(policyJson(policy), null, 2));
  else print(`${policy.name} is at version ${String(policy.version)}`);
}

function policyJson(policy: Policy): Readonly<Record<string, unknown>> {
  const document: unknown = JSON.parse(policy.document);
  return { ...toJson(policy), document };
}
