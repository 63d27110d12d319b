import { randomUUID } from 'node:crypto';
import {
  AdministrationServiceService as Administration,
  type Token,
} from '../../gen/sidekey/v1/administration.ts';
import { type OutputFormat, print, printable, printError, printList } from '../terminal.ts';
import { BundleDirectory } from './bundle-files.ts';
import type { AuthorityClient } from './client.ts';
import { formatHex, formatUuid } from './identifiers.ts';
import { toJson } from './json.ts';
import { type Listed, readPages } from './pages.ts';
import { counted, formatMoment, formatProperties, printFacts } from './print.ts';

export interface MintOptions {
  readonly role: string;
  readonly properties: Readonly<Record<string, string>>;
  readonly lifetimeSeconds: number;
  readonly count: number;
  readonly cap: number;
  readonly policy: string;
  readonly directory: string;
  /** Of the files; absent: the token's id. */
  readonly name: string | undefined;
}

/** Mints tokens and writes a bundle file for each, telling progress of long work on standard error. */
export async function createTokens(
  client: AuthorityClient,
  options: MintOptions,
  format: OutputFormat,
): Promise<void> {
  const directory = await BundleDirectory.open(options.directory);
  const request = {
    idempotencyKey: randomUUID(),
    role: options.role,
    properties: { ...options.properties },
    lifetimeSeconds: BigInt(options.lifetimeSeconds),
    count: options.count,
    cap: options.cap,
    policy: options.policy,
  };
  const written: { token: string; file: string }[] = [];
  let batch = '';
  for await (const answer of client.stream(Administration.createTokens, request)) {
    batch = formatHex(answer.batchId);
    const first = written.length + 1;
    written.push(
      ...(await Promise.all(
        answer.bundles.map(async ({ tokenId, bundle }, index) => {
          const token = formatHex(tokenId);
          const name = options.name ?? `${options.role}-${token}`;
          const numbered = options.name !== undefined && options.count > 1;
          const number = numbered ? first + index : undefined;
          return { token, file: await directory.write(bundle, name, number) };
        }),
      )),
    );
    if (options.count >= longWork) {
      printError(`${String(answer.created)} of ${counted(answer.total, 'token')} minted`);
    }
  }
  await directory.sync();
  if (format === 'json') {
    print(JSON.stringify({ batch, bundles: written }, null, 2));
    return;
  }
  if (written.length <= shownFiles) for (const { file } of written) print(file);
  else print(`${counted(written.length, 'bundle')} in ${options.directory}`);
  print(`batch ${batch}`);
}

/** What tokens to list; what is absent does not matter. */
export interface TokenFilter {
  readonly batch: Buffer | undefined;
  readonly state: string | undefined;
  readonly properties: Readonly<Record<string, string>>;
}

export async function listTokens(
  client: AuthorityClient,
  filter: TokenFilter,
  limit: number,
  format: OutputFormat,
): Promise<void> {
  const listed = await readPages(
    limit,
    (pageSize, pageToken) =>
      client.call(Administration.listTokens, {
        id: Buffer.alloc(0),
        batchId: filter.batch ?? Buffer.alloc(0),
        properties: { ...filter.properties },
        state: filter.state ?? '',
        pageSize,
        pageToken,
      }),
    ({ tokens }) => tokens,
  );
  printList(format, listed.items.map(tokenJson), [
    ['TOKEN', 'STATE', 'KIND', 'ROLE', 'USES', 'UNTIL', 'POLICY', 'PROPERTIES'],
    ...listed.items.map((token) => [
      formatHex(token.id),
      token.state,
      token.kind,
      token.role,
      `${String(token.uses)}/${String(token.cap)}`,
      formatMoment(token.expiresAt),
      token.policy,
      printable(formatProperties(token.properties)),
    ]),
  ]);
  tellMore(listed);
}

/** @throws if there is no such token */
export async function showToken(
  client: AuthorityClient,
  id: Buffer,
  format: OutputFormat,
): Promise<void> {
  const { tokens } = await client.call(Administration.listTokens, {
    id,
    batchId: Buffer.alloc(0),
    properties: {},
    state: '',
    pageSize: 1,
    pageToken: '',
  });
  const [token] = tokens;
  if (token === undefined) throw new Error(`there is no token ${formatHex(id)}`);
  if (format === 'json') {
    print(JSON.stringify(tokenJson(token), null, 2));
    return;
  }
  printFacts([
    ['token', formatHex(token.id)],
    ['state', token.state],
    ['kind', token.kind],
    ['role', token.role],
    ['uses', `${String(token.uses)} of ${String(token.cap)}`],
    ['made', `${formatMoment(token.createdAt)} by ${token.createdBy}`],
    ['until', formatMoment(token.expiresAt)],
    ['batch', formatHex(token.batchId)],
    ['policy', token.policy],
    ['properties', formatProperties(token.properties)],
    ['revoked why', token.revokedWhy],
    ...token.agentIds.map((id) => ['agent', formatUuid(id)] as const),
  ]);
}

/** Which tokens to revoke: one of them. */
export interface TokenSelection {
  readonly id?: Buffer;
  readonly batch?: Buffer;
  readonly properties?: Readonly<Record<string, string>>;
}

/** Nobody enrols with them any more; those who have, stay. */
export async function revokeTokens(
  client: AuthorityClient,
  selection: TokenSelection,
  reason: string,
  format: OutputFormat,
): Promise<void> {
  const answer = await client.call(Administration.revokeTokens, {
    idempotencyKey: randomUUID(),
    id: selection.id ?? Buffer.alloc(0),
    batchId: selection.batch ?? Buffer.alloc(0),
    properties: { ...selection.properties },
    reason,
  });
  if (format === 'json') print(JSON.stringify(toJson(answer), null, 2));
  else print(`${counted(answer.revoked, 'token')} revoked`);
}

/** Tells on standard error that a list goes on. */
export function tellMore(listed: Listed<unknown>): void {
  if (listed.more) printError(`the first ${String(listed.items.length)}; --limit for more`);
}

function tokenJson(token: Token): Readonly<Record<string, unknown>> {
  const { agentIds, ...rest } = token;
  return { ...toJson(rest), agents: agentIds.map(formatUuid) };
}

const longWork = 1000;
const shownFiles = 20;
