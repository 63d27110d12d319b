import { expect } from 'chai';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { Daemon } from './support/daemon.ts';
import { examplesOf, runExample } from './support/documented-example.ts';
import { startRedis } from './support/redis-server.ts';
import { skip } from './support/skip.ts';
import { type Stage, startStage } from './support/stage.ts';

describe('redisConnector with a real Redis', () => {
  let stage: Stage;
  let server: Daemon;

  before(async function () {
    this.timeout(30_000);
    stage = await startStage();
    const started = await startRedis(stage.files());
    if (started === undefined) skip(this, 'no redis-server is installed');
    server = started;
  });

  after(async () => {
    await (server as Daemon | undefined)?.stop();
    await stage.close();
  });

  const open = (options: Omit<RedisOptions, 'replyMapping'> = {}) => {
    const all = {
      host: 'localhost',
      port: server.port,
      Connector: stage.offload.redisConnector(),
      retryStrategy: () => null,
      ...options,
    };
    return new Redis(all);
  };

  it('runs the documented example', async () => {
    const [example = ''] = examplesOf('redis.md');
    const output = await runExample(example, stage.sidecar.address, {
      'cache.example.org': 'localhost',
      '6380': String(server.port),
    });
    expect(output).to.equal('hello\n');
  });

  it('carries pipelines, large values and subscriptions', async () => {
    const redis = open();
    const subscriber = redis.duplicate();
    const value = 'v'.repeat(1_000_000);
    const pipeline = redis.pipeline();
    for (let index = 0; index < 20; index += 1) pipeline.set(`key:${String(index)}`, value);
    expect(await pipeline.exec()).to.have.length(20);
    expect(await redis.get('key:19')).to.equal(value);
    const heard = new Promise((resolve) => {
      subscriber.on('message', (_channel, message) => {
        resolve(message);
      });
    });
    await subscriber.subscribe('news');
    await redis.publish('news', 'hello');
    expect(await heard).to.equal('hello');
    await Promise.all([redis.quit(), subscriber.quit()]);
  });

  it('connects anew when the connection is lost', async () => {
    const redis = open({ retryStrategy: () => 5 });
    redis.on('error', () => undefined);
    const id = await redis.client('ID');
    const killer = open();
    await killer.client('KILL', 'ID', id);
    expect(await redis.client('ID')).to.be.greaterThan(id);
    await Promise.all([redis.quit(), killer.quit()]);
  });

  it('reaches the nodes of a cluster', async function () {
    const node = await startRedis(stage.files(), { cluster: true });
    if (node === undefined) skip(this, 'no redis-server is installed');
    const founder = open({ port: node.port });
    await founder.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
    await founder.quit();
    // It is asked again until it has come to the state "ok", some two seconds later.
    const cluster = new Cluster([{ host: 'localhost', port: node.port }], {
      redisOptions: { Connector: stage.offload.redisConnector() },
      retryDelayOnClusterDown: 100,
      maxRedirections: 100,
    });
    cluster.on('error', () => undefined);
    await cluster.set('of a cluster', 'a value');
    expect(await cluster.get('of a cluster')).to.equal('a value');
    await cluster.quit();
    await node.stop();
  });

  it('shuts a connection that was given up before it was made', async () => {
    const redis = open({ lazyConnect: true });
    const connecting: Promise<unknown> = redis.connect().catch((reason: unknown) => reason);
    redis.disconnect();
    expect(await connecting).to.be.instanceOf(Error);
  });

  it('tells why it does not connect', async () => {
    const redis = open({
      Connector: stage.offload.redisConnector({ servername: 'elsewhere.test' }),
    });
    const error = await new Promise((resolve) => redis.once('error', resolve));
    expect(error).to.have.property('code', 'ERR_TLS_CERT_ALTNAME_INVALID');
    redis.disconnect();
  });
});
