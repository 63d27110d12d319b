import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

/** A PostgreSQL server of the test run: a real one, with nothing in it. */
export interface PostgresServer {
  /** Makes an empty database and answers its URL. */
  createDatabase(): Promise<string>;
  /** URL of a database that is not there yet. */
  vacantUrl(): string;
  /** Makes a database that holds what another holds, to which nobody is connected. */
  copyDatabase(url: string, to?: string): Promise<string>;
  dropDatabase(url: string): Promise<void>;
  /** What a database holds, as `pg_dump` writes it. */
  dump(url: string): Promise<string>;
  /** Makes a database anew from a dump. */
  load(url: string, dump: string): Promise<void>;
  /** Stops it at once, as a crash would, and starts it on the same data. */
  restart(): Promise<void>;
  /** Stops it at once; `start` brings it back. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

export interface PostgresOptions {
  /** Wait for the disk as in production, for measuring. */
  readonly durable?: boolean;
}

/**
 * Starts a server, or says why there is none. It listens on a unix socket in a directory of its own,
 * and ends with this process, however that ends.
 */
export async function startPostgres(
  options: PostgresOptions = {},
): Promise<PostgresServer | { readonly unavailable: string }> {
  const binaries = findPostgres();
  if (binaries === undefined) return { unavailable: 'no PostgreSQL server is installed' };
  const user = unprivilegedUser();
  if (user === undefined) return { unavailable: 'no user that may run PostgreSQL' };
  const directory = mkdtempSync(join(tmpdir(), 'sidekey-postgres-'));
  chmodSync(directory, 0o700);
  if (user.uid !== undefined && user.gid !== undefined) chownSync(directory, user.uid, user.gid);
  const data = join(directory, 'data');
  execFileSync(
    join(binaries, 'initdb'),
    ['-D', data, '-A', 'trust', '-U', 'sidekey', '-E', 'UTF8', '--no-locale', '--no-sync'],
    { ...user, stdio: 'pipe', cwd: directory },
  );
  const server = new Server(binaries, directory, data, user, options.durable === true);
  await server.start();
  return server;
}

/** The server of this test run, started at the first call. */
export function sharedPostgres(): ReturnType<typeof startPostgres> {
  shared ??= startPostgres();
  return shared;
}

let shared: ReturnType<typeof startPostgres> | undefined;

class Server implements PostgresServer {
  readonly #binaries: string;
  readonly #directory: string;
  readonly #data: string;
  readonly #user: User;
  readonly #durable: boolean;
  #shell: ChildProcess | undefined;

  constructor(binaries: string, directory: string, data: string, user: User, durable: boolean) {
    this.#binaries = binaries;
    this.#directory = directory;
    this.#data = data;
    this.#user = user;
    this.#durable = durable;
  }

  async start(): Promise<void> {
    const log = openSync(join(this.#directory, 'log'), 'a', 0o666);
    // The shell holds the server: it ends it when this process's end of the pipe goes away.
    const script =
      '"$@" & server=$!; line=; read -r line; kill -QUIT $server; wait $server; [ -n "$line" ] || rm -rf "$0"';
    const settings = [
      'listen_addresses=',
      `unix_socket_directories=${this.#directory}`,
      'max_connections=100',
      'shared_buffers=64MB',
      ...(this.#durable ? [] : ['fsync=off', 'full_page_writes=off']),
    ].flatMap((setting) => ['-c', setting]);
    const shell = spawn(
      '/bin/sh',
      [
        '-c',
        script,
        this.#directory,
        join(this.#binaries, 'postgres'),
        '-D',
        this.#data,
        ...settings,
      ],
      { ...this.#user, stdio: ['pipe', log, log], cwd: this.#directory },
    );
    closeSync(log);
    shell.unref();
    // A pipe, which keeps the process running unless told.
    (shell.stdin as unknown as { unref(): void }).unref();
    this.#shell = shell;
    await this.#ready();
  }

  async stop(): Promise<void> {
    const shell = this.#shell;
    if (shell === undefined) return;
    this.#shell = undefined;
    const ended = new Promise((resolve) => shell.once('exit', resolve));
    shell.ref();
    shell.stdin?.end('keep\n');
    await ended;
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  async createDatabase(): Promise<string> {
    const url = this.vacantUrl();
    await this.#administer(`create database ${databaseOf(url)}`);
    return url;
  }

  vacantUrl(): string {
    return this.#url(`test_${randomBytes(6).toString('hex')}`);
  }

  async copyDatabase(url: string, to = this.vacantUrl()): Promise<string> {
    await this.#administer(`create database ${databaseOf(to)} template ${databaseOf(url)}`);
    return to;
  }

  async dropDatabase(url: string): Promise<void> {
    await this.#administer(`drop database if exists ${databaseOf(url)} with (force)`);
  }

  dump(url: string): Promise<string> {
    return this.#tool('pg_dump', url, '');
  }

  async load(url: string, dump: string): Promise<void> {
    await this.dropDatabase(url);
    await this.#administer(`create database ${databaseOf(url)}`);
    await this.#tool('psql', url, dump);
  }

  #tool(name: string, url: string, input: string): Promise<string> {
    const output = execFileSync(
      join(this.#binaries, name),
      ['-h', this.#directory, '-U', 'sidekey', databaseOf(url)],
      { ...this.#user, input, encoding: 'utf8', cwd: this.#directory },
    );
    return Promise.resolve(output);
  }

  #url(database: string): string {
    return `postgres://sidekey@localhost/${database}?host=${encodeURIComponent(this.#directory)}`;
  }

  async #administer(statement: string): Promise<void> {
    const client = new pg.Client({ host: this.#directory, user: 'sidekey', database: 'postgres' });
    await client.connect();
    try {
      await client.query(statement);
    } finally {
      await client.end();
    }
  }

  async #ready(): Promise<void> {
    const deadline = Date.now() + startTimeoutMs;
    for (;;) {
      try {
        await this.#administer('select 1');
        return;
      } catch (error) {
        if (Date.now() > deadline) {
          throw new Error(readFileSync(join(this.#directory, 'log'), 'utf8'), { cause: error });
        }
        await delay(20);
      }
    }
  }
}

function databaseOf(url: string): string {
  return new URL(url).pathname.slice(1);
}

export interface User {
  readonly uid?: number;
  readonly gid?: number;
}

/** PostgreSQL refuses to run as root. */
export function unprivilegedUser(): User | undefined {
  if (process.getuid?.() !== 0) return {};
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = lines.find((line) => line.startsWith(`${name}:`))?.split(':') ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  return undefined;
}

/** In the path, or where Debian puts them; the newest. */
export function findPostgres(): string | undefined {
  const packaged = '/usr/lib/postgresql';
  const versions = existsSync(packaged)
    ? readdirSync(packaged).sort((a, b) => Number(b) - Number(a))
    : [];
  return [
    ...versions.map((version) => join(packaged, version, 'bin')),
    ...(process.env['PATH'] ?? '').split(delimiter),
  ].find((path) => existsSync(join(path, 'initdb')) && existsSync(join(path, 'postgres')));
}

const startTimeoutMs = 30_000;
