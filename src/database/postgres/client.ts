import { createHash } from 'node:crypto';
import pg from 'pg';
import type { Execute, StatementResult } from '../dialect.ts';
import { sqlState, StoreError } from '../errors.ts';
import type { PostgresAddress } from './url.ts';

/** What every connection has in common. */
export function clientConfig(
  address: PostgresAddress,
  settings: Readonly<Record<string, string>>,
): pg.ClientConfig {
  const { host, port, user, database, password, ssl } = address;
  return {
    host,
    port,
    user,
    database,
    password,
    ssl,
    application_name: 'sidekey',
    connectionTimeoutMillis: 5000,
    statement_timeout: 30_000,
    // A replica that stops in the middle of a transaction must not stop the others.
    idle_in_transaction_session_timeout: 10_000,
    lock_timeout: 10_000,
    keepAlive: true,
    options: Object.entries({ ...durable, ...settings })
      .map(([name, value]) => `-c ${name}=${value.replaceAll(' ', '\\ ')}`)
      .join(' '),
    types: { getTypeParser: parserOf },
  };
}

/** What runs a statement: a client, or a pool. */
interface Queryable {
  query(config: pg.QueryConfig): Promise<pg.QueryResult>;
}

/** Runs statements as kysely gives them; each text is planned once for each connection. */
export function executeOn(target: Queryable): Execute {
  return async (text, parameters) => resultOf(await query(target, text, parameters));
}

/** The same for a connection, on which statements have to wait for one another. */
export function executeInOrder(client: pg.ClientBase): Execute {
  let last: Promise<unknown> = Promise.resolve();
  return async (text, parameters) => {
    const turn = last.then(() => query(client, text, parameters));
    last = turn.catch(() => undefined);
    return resultOf(await turn);
  };
}

/** One statement. Rejects with {@link StoreError} where the server did not answer. */
export async function query(
  target: Queryable,
  text: string,
  parameters: readonly unknown[] = [],
): Promise<pg.QueryResult> {
  try {
    return await target.query({
      text,
      ...(parameters.length === 0 ? {} : { name: nameOf(text), values: [...parameters] }),
    });
  } catch (error) {
    throw isLost(error) ? unreachable(error) : error;
  }
}

/** Whether an error means that the connection is gone, and not that a statement was refused. */
export function isLost(error: unknown): boolean {
  // Of our own parsers, about a value that was answered.
  if (error instanceof RangeError || error instanceof TypeError) return false;
  const state = sqlState(error);
  return state === undefined || state.startsWith('08') || state.startsWith('57P');
}

export function unreachable(error: unknown): StoreError {
  const why = error instanceof Error ? error.message : String(error);
  return new StoreError(`the store cannot be reached: ${why}`, { cause: error });
}

function resultOf({ rows, rowCount, command }: pg.QueryResult): StatementResult {
  const answered: readonly unknown[] = rows;
  return changing.has(command) ? { rows: answered, changes: rowCount ?? 0 } : { rows: answered };
}

/** A name makes the server keep the plan. There are as many as there are texts, within reason. */
function nameOf(text: string): string {
  const known = names.get(text);
  if (known !== undefined) return known;
  if (names.size >= maxNames) return '';
  const name = createHash('sha256').update(text).digest('base64url').slice(0, 22);
  names.set(text, name);
  return name;
}

/** Integers as numbers that are exact, bytes as bytes; the rest as ever. Everything comes as text. */
function parserOf(type: TypeId): (value: string) => unknown {
  return parsers.get(type) ?? (pg.types.getTypeParser(type, 'text') as (value: string) => unknown);
}

function exactInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`${text} is no exact number`);
  return value;
}

function bytes(text: string): Uint8Array {
  if (!text.startsWith('\\x')) throw new TypeError('expected bytes in hex');
  return new Uint8Array(Buffer.from(text.slice(2), 'hex'));
}

/** Numbers of PostgreSQL's own types. */
type TypeId = Parameters<typeof pg.types.getTypeParser>[0];

const durable = {
  synchronous_commit: 'on',
  default_transaction_isolation: 'read committed',
  bytea_output: 'hex',
};
const changing = new Set(['INSERT', 'UPDATE', 'DELETE']);
const names = new Map<string, string>();
const maxNames = 1000;
const parsers = new Map<TypeId, (text: string) => unknown>([
  [pg.types.builtins.INT8, exactInteger],
  [pg.types.builtins.NUMERIC, exactInteger],
  [pg.types.builtins.BYTEA, bytes],
]);
