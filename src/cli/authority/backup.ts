import { resolve } from 'node:path';
import { AdministrationServiceService as Administration } from '../../gen/sidekey/v1/administration.ts';
import { type OutputFormat, print } from '../terminal.ts';
import type { AuthorityClient } from './client.ts';
import { toJson } from './json.ts';

/** Has a running authority write a consistent copy of its store to a file on its own host. */
export async function backUp(
  client: AuthorityClient,
  file: string,
  format: OutputFormat,
): Promise<void> {
  const path = resolve(file);
  const answer = await client.call(Administration.backUp, { path });
  if (format === 'json') print(JSON.stringify({ path, ...toJson(answer) }, null, 2));
  else
    print(
      `${path}: ${String(answer.bytes)} bytes, up to audit entry ${String(answer.auditSequence)}`,
    );
}
