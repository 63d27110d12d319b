import { readFileSync } from 'node:fs';
import type { ClientConfig } from 'pg';
import { StoreError } from '../errors.ts';

/**
 * How to reach a PostgreSQL server, from a URL: `postgres://USER@HOST:PORT/DATABASE`.
 * It takes `host` (a directory with its unix socket), `sslmode` (`verify-full`, or `disable`; the default is
 * `verify-full` unless the host is this machine), `sslrootcert` and `passfile` (files) as parameters.
 */
export interface PostgresAddress extends Pick<
  ClientConfig,
  'host' | 'port' | 'user' | 'database' | 'password' | 'ssl'
> {
  /** Whether passwords and rows cross a network in clear, as the URL asks. */
  readonly plaintext: boolean;
}

/** Throws {@link StoreError}, which never holds the URL's password. */
export function parsePostgresUrl(text: string): PostgresAddress {
  let url;
  try {
    url = new URL(text);
  } catch {
    throw new StoreError('the URL of the store cannot be read');
  }
  for (const name of url.searchParams.keys()) {
    if (!parameters.has(name)) throw new StoreError(`the store's URL has the unknown ${name}`);
  }
  const parameter = (name: string): string | undefined => url.searchParams.get(name) ?? undefined;
  const host = parameter('host') ?? decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, '$1');
  const database = decodeURIComponent(url.pathname.slice(1));
  if (host === '' || database === '') {
    throw new StoreError("the store's URL needs a host and a database");
  }
  const passwordFile = parameter('passfile');
  return {
    host,
    port: Number(parameter('port') ?? (url.port === '' ? '5432' : url.port)),
    database,
    ...(url.username === '' ? {} : { user: decodeURIComponent(url.username) }),
    ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
    // Read at each connection, so that a changed password needs no restart.
    ...(passwordFile === undefined ? {} : { password: () => readSecret(passwordFile) }),
    ...tlsOf(host, parameter('sslmode'), parameter('sslrootcert')),
  };
}

function tlsOf(
  host: string,
  mode: string | undefined,
  rootFile: string | undefined,
): Pick<PostgresAddress, 'ssl' | 'plaintext'> {
  if (mode !== undefined && mode !== 'disable' && mode !== 'verify-full') {
    throw new StoreError(`sslmode ${mode}: expected "verify-full" or "disable"`);
  }
  if (mode === 'disable') return { ssl: false, plaintext: !isLocal(host) };
  if (mode === undefined && isLocal(host)) return { ssl: false, plaintext: false };
  return {
    ssl: {
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
      ...(rootFile === undefined ? {} : { ca: readText(rootFile) }),
    },
    plaintext: false,
  };
}

/** Whether a connection to `host` leaves this machine. */
function isLocal(host: string): boolean {
  return (
    host.startsWith('/') || host === 'localhost' || host === '::1' || /^127(\.\d+){3}$/.test(host)
  );
}

function readSecret(path: string): string {
  return readText(path).replace(/\r?\n$/, '');
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new StoreError(`${path}: cannot be read`, { cause: error });
  }
}

const parameters = new Set(['host', 'port', 'sslmode', 'sslrootcert', 'passfile']);
