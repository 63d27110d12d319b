import { expect } from 'chai';
import pg from 'pg';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { listen } from '../offload/support/connections.ts';
import type { Daemon } from './support/daemon.ts';
import { examplesOf, runExample } from './support/documented-example.ts';
import { passwordRole, startPostgresTls } from './support/postgres-tls.ts';
import { skip } from './support/skip.ts';
import { type Stage, startStage } from './support/stage.ts';

describe('pgStream with a real PostgreSQL', () => {
  let stage: Stage;
  let server: Daemon;

  before(async function () {
    this.timeout(60_000);
    stage = await startStage();
    const started = await startPostgresTls(stage.files());
    if ('unavailable' in started) skip(this, started.unavailable);
    server = started;
  });

  after(async () => {
    await (server as Daemon | undefined)?.stop();
    await stage.close();
  });

  const connect = async (options: pg.ClientConfig = {}): Promise<pg.Client> => {
    const client = new pg.Client({
      host: 'localhost',
      port: server.port,
      user: 'app',
      database: 'postgres',
      stream: () => stage.offload.pgStream(),
      ...options,
    });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  };

  it('runs the documented example', async () => {
    const [example = ''] = examplesOf('postgresql.md');
    const output = await runExample(example, stage.sidecar.address, {
      'db.example.org': 'localhost',
      '5432': String(server.port),
    });
    expect(output).to.equal("{ current_user: 'app', ssl: true, version: 'TLSv1.2' }\n");
  });

  it('carries large results and many queries over a pool', async () => {
    const pool = new pg.Pool({
      host: 'localhost',
      port: server.port,
      user: 'app',
      database: 'postgres',
      max: 3,
      stream: () => stage.offload.pgStream(),
    });
    const lengths = await Promise.all(
      Array.from({ length: 12 }, async () => {
        const { rows } = await pool.query<{ t: string }>("select repeat('x', 1000000) as t");
        return rows[0]?.t.length;
      }),
    );
    expect(lengths).to.deep.equal(Array.from({ length: 12 }, () => 1_000_000));
    expect(pool.totalCount).to.equal(3);
    await pool.end();
  });

  it('binds a password to the connection (RFC 5929 §4)', async () => {
    const client = await connect({ ...passwordRole, enableChannelBinding: true });
    const { rows } = await client.query<{ name: string }>('select current_user as name');
    expect(rows[0]?.name).to.equal(passwordRole.user);
    await client.end();
  });

  it('is refused by a server that wants another identity', async () => {
    const error: unknown = await connect({ user: 'root' }).catch((reason: unknown) => reason);
    expect(error).to.have.property('code', '28000');
  });

  it('does not connect to a server without the identity wanted', async () => {
    const stream = () => stage.offload.pgStream({ targetIdentities: ['spiffe://test/service/db'] });
    const error: unknown = await connect({ stream }).catch((reason: unknown) => reason);
    expect(error).to.have.property('code', 'ERR_TLS_CERT_ALTNAME_INVALID');
  });

  it('says nothing to a server that declines TLS', async function () {
    this.timeout(60_000);
    const plain = await startPostgresTls(stage.files(), { tls: false });
    if ('unavailable' in plain) skip(this, plain.unavailable);
    const error: unknown = await connect({ port: plain.port }).catch((reason: unknown) => reason);
    expect(error).to.include({ code: 'ERR_OFFLOAD_HANDSHAKE', reason: 'tls_refused' });
    await plain.stop();
  });

  for (const { name, answer, reason } of [
    { name: 'slips words in before TLS', answer: 'SE', reason: 'unexpected_plaintext' },
    { name: 'is no PostgreSQL', answer: 'HTTP/1.1 400', reason: 'tls_refused' },
  ]) {
    it(`refuses a peer that ${name}`, async () => {
      const impostor = createServer((socket) => {
        socket.on('error', () => undefined).once('data', () => socket.write(answer));
      });
      const port = await listen(impostor);
      const error: unknown = await connect({ port }).catch((failure: unknown) => failure);
      expect(error).to.include({ code: 'ERR_OFFLOAD_HANDSHAKE', reason });
      impostor.close();
    });
  }

  it('gives up on a peer that never answers', async () => {
    const silent = createServer((socket) => socket.on('error', () => undefined).resume());
    const port = await listen(silent);
    const stream = () => stage.offload.pgStream({ handshakeTimeout: 40 });
    const error: unknown = await connect({ port, stream }).catch((failure: unknown) => failure);
    expect(error).to.have.property('code', 'ERR_TLS_HANDSHAKE_TIMEOUT');
    silent.close();
    await once(silent, 'close');
  });
});
