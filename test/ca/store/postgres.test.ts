import { expect } from 'chai';
import { createServer, connect, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { pino } from 'pino';
import { StoreError } from '../../../src/ca/store/options.ts';
import { openStore } from '../../../src/ca/store/open.ts';
import { parsePostgresUrl } from '../../../src/database/postgres/url.ts';
import { CommitUnknownError, type Store } from '../../../src/ca/store/store.ts';
import { rejection } from '../support/rejection.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { type OwnedPlace, postgresPlace } from '../support/stores.ts';
import { skip } from '../../support/skip.ts';

describe('PostgreSQL store', function () {
  this.timeout(60_000);
  let place: OwnedPlace | undefined;
  beforeEach(async function () {
    const made = await postgresPlace();
    if ('unavailable' in made) return skip(this, made.unavailable);
    place = made;
  });
  afterEach(async () => {
    await place?.close();
    place = undefined;
  });

  const note = (store: Store, subject: string): Promise<void> =>
    store.transact((transaction) => {
      transaction.audit({ actor: 'test', action: 'test', subject, outcome: 'done' });
      return Promise.resolve();
    });
  const notes = async (store: Store): Promise<readonly string[]> =>
    (await store.queries.selectFrom('audit').select('subject').orderBy('seq').execute()).map(
      ({ subject }) => subject,
    );

  it('lets replicas write one after the other, each seeing what came before', async () => {
    const first = await place!.initialise();
    const stores = [first, await place!.open(), await place!.open()];
    const seen: number[] = [];
    await Promise.all(
      Array.from({ length: 60 }, (_, index) =>
        stores[index % 3]!.transact(async (transaction) => {
          const { count } = await transaction.queries
            .selectFrom('audit')
            .select(({ fn }) => fn.countAll<number>().as('count'))
            .executeTakeFirstOrThrow();
          seen.push(count);
          transaction.audit({ actor: '', action: '', subject: '', outcome: 'done' });
        }),
      ),
    );
    expect(seen).to.deep.equal(Array.from({ length: 60 }, (_, index) => index));
  });

  it('wakes followers on other replicas', async () => {
    const first = await place!.initialise();
    const second = await place!.open();
    const woken = new Promise<void>((resolve) => second.onFeed(resolve));
    await first.transact((transaction) =>
      transaction.publish({ type: 'bundle', subject: Uint8Array.of(1) }),
    );
    await woken;
  });

  it('says that the server is away, refuses changes, and comes back by itself', async () => {
    const store = await place!.initialise();
    await note(store, 'before');
    const server = await sharedPostgres();
    if ('unavailable' in server) throw new Error(server.unavailable);
    await server.stop();
    expect(await rejection(note(store, 'away'))).to.be.instanceOf(StoreError);
    while (store.problem === undefined) await new Promise((resolve) => setImmediate(resolve));
    expect(store.problem).to.match(/cannot be reached/);
    const back = new Promise<void>((resolve) => store.onFeed(resolve));
    await server.start();
    await back;
    expect(store.problem).to.equal(undefined);
    await note(store, 'after');
    expect(await notes(store)).to.deep.equal(['before', 'after']);
  });

  for (const [when, committed] of [
    ['before the server saw the commit', false],
    ['after the server had committed', true],
  ] as const) {
    it(`finds out what became of a commit: connection cut ${when}`, async () => {
      const direct = await place!.initialise();
      const proxy = await Proxy.before(place!.url);
      const store = await place!.open({ url: proxy.url });
      await note(store, 'first');
      if (committed) proxy.cutAtAnswer('COMMIT');
      else proxy.cutAtRequest('commit');
      const outcome = await note(store, 'cut').then(
        () => 'done',
        (error: unknown) => error,
      );
      if (committed) expect(outcome).to.equal('done');
      else expect(outcome).to.be.instanceOf(StoreError);
      expect(await notes(direct)).to.deep.equal(committed ? ['first', 'cut'] : ['first']);
      await note(store, 'next');
      await store.close();
      await proxy.close();
    });
  }

  it('does not say "failed" of a commit whose outcome nobody can tell', async () => {
    await place!.initialise();
    const proxy = await Proxy.before(place!.url);
    const store = await place!.open({ url: proxy.url });
    proxy.cutAtAnswer('COMMIT');
    // No audit entry that could tell later.
    const change = store.transact(({ queries }) =>
      queries.insertInto('meta').values({ name: 'a', value: 'b' }).execute(),
    );
    expect(await rejection(change)).to.be.instanceOf(CommitUnknownError);
    await store.close();
    await proxy.close();
  });

  it('reads no integer it cannot hold', async () => {
    const store = await place!.initialise();
    await store.transact(({ queries }) =>
      queries
        .insertInto('counter')
        .values({ name: 'huge', value: '9007199254740993' as unknown as number })
        .execute(),
    );
    const read = store.queries.selectFrom('counter').select('value').execute();
    expect(await rejection(read)).to.be.instanceOf(RangeError);
  });

  it('is not opened when nothing answers', async () => {
    const nowhere = { url: 'postgres://a@127.0.0.1:1/b', now: () => new Date() };
    const opening = openStore({ ...nowhere, log: pino({ level: 'silent' }) });
    expect(await rejection(opening)).to.be.instanceOf(StoreError);
  });
});

describe('parsePostgresUrl', () => {
  for (const { url, ssl, plaintext } of [
    { url: 'postgres://a@localhost/b', ssl: false, plaintext: false },
    { url: 'postgres://a@127.0.0.1:5433/b', ssl: false, plaintext: false },
    { url: 'postgres://a@[::1]/b', ssl: false, plaintext: false },
    {
      url: 'postgres://a@localhost/b?host=/run/postgresql&port=5433',
      ssl: false,
      plaintext: false,
    },
    { url: 'postgres://a@db.example.org/b', ssl: true, plaintext: false },
    { url: 'postgres://a@10.0.0.1/b', ssl: true, plaintext: false },
    { url: 'postgres://a@localhost/b?sslmode=verify-full', ssl: true, plaintext: false },
    { url: 'postgres://a@db.example.org/b?sslmode=disable', ssl: false, plaintext: true },
  ]) {
    it(`${ssl ? 'asks for a verified server' : plaintext ? 'lets it be, knowingly' : 'needs no TLS'}: ${url}`, () => {
      const address = parsePostgresUrl(url);
      expect(address.plaintext).to.equal(plaintext);
      if (ssl) expect(address.ssl).to.deep.include({ rejectUnauthorized: true });
      else expect(address.ssl).to.equal(false);
    });
  }

  for (const url of [
    'postgres://a:pa55word@h/b?sslmode=require',
    'postgres://a:pa55word@h/b?sslmode=prefer',
    'postgres://a:pa55word@h/b?options=-c',
    'postgres://a:pa55word@h/',
    'postgres://a:pa55word@h/b?sslrootcert=/nowhere',
    'postgres://a:pa55word@h:port/b',
  ]) {
    it(`refuses ${url}, and keeps the password to itself`, () => {
      expect(() => parsePostgresUrl(url))
        .to.throw(StoreError)
        .with.property('message')
        .not.include('pa55word');
    });
  }
});

/** Between a store and its server; cuts the connection at a certain word. */
class Proxy {
  readonly url: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #request: string | undefined;
  #answer: string | undefined;

  private constructor(server: Server, url: string, target: string) {
    this.#server = server;
    this.url = url;
    server.on('connection', (near) => {
      const far = connect(target);
      const cut = (): void => {
        near.destroy();
        far.destroy();
      };
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket.on('error', cut);
        socket.on('close', cut);
      }
      near.on('data', (data) => {
        if (this.#request !== undefined && data.includes(this.#request)) {
          this.#request = undefined;
          cut();
        } else far.write(data);
      });
      far.on('data', (data) => {
        if (this.#answer !== undefined && data.includes(this.#answer)) {
          this.#answer = undefined;
          cut();
        } else near.write(data);
      });
    });
  }

  static async before(url: string): Promise<Proxy> {
    const { searchParams, pathname } = new URL(url);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const near = `postgres://sidekey@127.0.0.1:${String(address.port)}${pathname}`;
    return new Proxy(server, near, join(searchParams.get('host') ?? '', '.s.PGSQL.5432'));
  }

  cutAtRequest(word: string): void {
    this.#request = word;
  }

  cutAtAnswer(word: string): void {
    this.#answer = word;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
