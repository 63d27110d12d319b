import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { readMetrics, residentBytes } from '../soak/metrics.ts';
import { echoServer, exchange } from './exchange.ts';
import {
  callHeaders,
  frame,
  FrameType,
  headerBlock,
  preface,
  RawConnection,
} from './http2-frames.ts';
import { patience } from './patience.ts';
import { pause, unless, until } from './report.ts';
import { SidecarProcess } from './sidecar-process.ts';
import { applicationTimeouts as timeouts, leftovers, limitMs, type Stage } from './stage.ts';

/**
 * What a caller can do to a sidecar by HTTP/2 itself, while another application goes on making
 * handshakes: no such handshake fails, and the sidecar's memory stays where it was.
 */
export async function http2Abuse({ fixture, library, report }: Stage): Promise<void> {
  const sidecar = await SidecarProcess.started(fixture, { name: 'abused', role: 'client' });
  const peer = await SidecarProcess.started(fixture, { name: 'abused-peer', role: 'server' });
  const client = library.createOffload({ address: sidecar.address, timeouts });
  const serverSide = library.createOffload({ address: peer.address, timeouts });
  const server = await echoServer(serverSide);
  const warmUp = Array.from({ length: 20 }, () => exchange(client, server.port, { limitMs }));
  await Promise.all(warmUp);
  const before = await residentBytes(sidecar.daemon.pid);
  let most = before;

  for (const [name, attack] of attacks) {
    const over = new AbortController();
    const failures: string[] = [];
    let good = 0;
    const goOn = (async () => {
      do {
        const { code } = await exchange(client, server.port, { limitMs });
        if (code === 'ok') good += 1;
        else failures.push(code);
        most = Math.max(most, await residentBytes(sidecar.daemon.pid));
      } while (!over.signal.aborted);
    })();
    const problems = await attack(sidecar.socketPath);
    over.abort();
    await goOn;
    report.check(name, problems);
    report.check(`good handshakes during ${name}`, [
      ...unless(failures.length === 0, `${String(failures.length)} fail: ${failures[0] ?? ''}`),
      ...unless(good > 0, 'there are none'),
    ]);
  }
  const growth = (most - before) / 1024 / 1024;
  report.check('memory of an abused sidecar', [
    ...unless(growth < mostGrowthMebibytes, `grows by ${growth.toFixed(0)} MiB`),
  ]);
  await Promise.all([client.close(), server.close(), serverSide.close()]);
  report.check('abuse, leftovers', await leftovers([sidecar, peer]));
  const metrics = await readMetrics({ address: sidecar.address, daemon: sidecar.daemon });
  const gone = await until(async () => {
    const now = await readMetrics({ address: sidecar.address, daemon: sidecar.daemon });
    return now.get('sidekey_connections') === 0;
  }, 10_000);
  report.check('abuse, connections', [
    ...unless(gone, `${String(metrics.get('sidekey_connections'))} are open`),
  ]);
  report.note(
    `abused by HTTP/2 in ${String(attacks.length)} ways: at most ${growth.toFixed(0)} MiB more memory`,
  );
  await Promise.all([sidecar.stop(), peer.stop()]);
}

type Attack = (path: string) => Promise<readonly string[]>;

const { data, headers, priority, rstStream, settings, ping, windowUpdate, continuation } =
  FrameType;
const endHeaders = 0x4;
const cancel = Buffer.of(0, 0, 0, 8);
/** 64 MiB of nothing. */
const bomb = gzipSync(Buffer.alloc(67_108_864));

const attacks: readonly (readonly [string, Attack])[] = [
  [
    'rapid reset',
    ended((connection) =>
      connection.flood(floodCount, (index) =>
        Buffer.concat([
          frame(headers, endHeaders, 2 * index + 1, callHeaders()),
          frame(rstStream, 0, 2 * index + 1, cancel),
        ]),
      ),
    ),
  ],
  [
    'PING flood',
    ended((connection) => connection.flood(floodCount, () => frame(ping, 0, 0, Buffer.alloc(8)))),
  ],
  [
    'SETTINGS flood',
    ended((connection) => connection.flood(floodCount, () => frame(settings, 0, 0))),
  ],
  [
    'a header of a mebibyte',
    ended(async (connection) => {
      const field = headerBlock({ 'x-filler': 'a'.repeat(120) });
      await connection.send(frame(headers, 0, 1, callHeaders()));
      await connection.flood(80, () =>
        frame(continuation, 0, 1, Buffer.concat(Array.from({ length: 100 }, () => field))),
      );
    }),
  ],
  [
    'CONTINUATION flood',
    ended(async (connection) => {
      await connection.send(frame(headers, 0, 1, callHeaders()));
      await connection.flood(floodCount, () => frame(continuation, 0, 1));
    }),
  ],
  [
    'HPACK bomb',
    ended(async (connection) => {
      // One entry of the dynamic table, named again by one byte at a time (RFC 7541 §6.1, §6.2.1).
      const value = Buffer.alloc(3500, 'a');
      const entry = Buffer.concat([Buffer.of(0x40, 1, 0x78, 0x7f, 0xad, 0x1a), value]);
      await connection.send(frame(headers, 0, 1, Buffer.concat([callHeaders(), entry])));
      await connection.flood(floodCount, () => frame(continuation, 0, 1, Buffer.alloc(200, 0xbe)));
    }),
  ],
  ['a message of 4 GiB', answered(0xffff_ffff, Buffer.alloc(100_000), {}, '8')],
  ['a message of a megabyte', answered(1_000_000, Buffer.alloc(1_000_000), {}, '8')],
  ['a compressed message', answered(bomb.length, bomb, { 'grpc-encoding': 'gzip' }, '12')],
  [
    'a thousand calls that send nothing',
    survived(async (connection) => {
      await connection.flood(1000, (index) =>
        frame(headers, endHeaders, 2 * index + 1, callHeaders()),
      );
      await pause(3500 * patience);
    }),
  ],
  [
    'empty DATA flood',
    survived(async (connection) => {
      await connection.send(frame(headers, endHeaders, 1, callHeaders()));
      await connection.flood(floodCount, () => frame(data, 0, 1));
    }),
  ],
  [
    'WINDOW_UPDATE flood',
    survived((connection) =>
      connection.flood(floodCount, () => frame(windowUpdate, 0, 0, Buffer.of(0, 0, 0, 1))),
    ),
  ],
  [
    'PRIORITY flood',
    survived((connection) =>
      connection.flood(floodCount, (index) =>
        frame(priority, 0, 2 * index + 1, Buffer.of(0, 0, 0, 0, 1)),
      ),
    ),
  ],
  [
    'flood of unknown frames',
    survived((connection) =>
      connection.flood(floodCount, () => frame(0xfa, 0, 0, Buffer.alloc(8))),
    ),
  ],
  [
    'HTTP/1.1',
    refused(
      'POST /s2a.proto.S2AService/SetUpSession HTTP/1.1\r\nhost: sidecar\r\n' +
        'content-type: application/grpc\r\ncontent-length: 5\r\n\r\n\0\0\0\0\0',
    ),
  ],
  [
    'HTTP/1.1 upgrade',
    refused('GET / HTTP/1.1\r\nhost: a\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n'),
  ],
  ['a TLS ClientHello', refused(`\u0016\u0003\u0001\u0000\u0030${'\u0001'.repeat(0x30)}`)],
  ['noise', refused('\u00a5'.repeat(100_000))],
  ['too many connections', tooManyConnections],
];

/** The sidecar ends the connection. */
function ended(attack: (connection: RawConnection) => Promise<void>): Attack {
  return async (path) => {
    const connection = await RawConnection.open(path);
    await connection.send(preface);
    await attack(connection);
    const isOver = await connection.endsWithin(5000);
    connection.destroy();
    return unless(isOver, 'the connection is left open');
  };
}

/** It costs little: the sidecar may go on with the connection, or end it. */
function survived(attack: (connection: RawConnection) => Promise<void>): Attack {
  return async (path) => {
    const connection = await RawConnection.open(path);
    await connection.send(preface);
    await attack(connection);
    connection.destroy();
    return [];
  };
}

/** One message that says it is so long, in a call that ends with this status. */
function answered(
  announcedBytes: number,
  body: Buffer,
  more: Readonly<Record<string, string>>,
  status: string,
): Attack {
  return async (path) => {
    const session = connectHttp2('http://sidecar', { createConnection: () => connect({ path }) });
    session.on('error', () => undefined);
    const stream = session.request({
      ':method': 'POST',
      ':path': '/s2a.proto.S2AService/SetUpSession',
      'content-type': 'application/grpc',
      te: 'trailers',
      ...more,
    });
    let heard: unknown;
    stream.on('error', () => undefined);
    stream.on('response', (fields) => (heard ??= fields['grpc-status']));
    stream.on('trailers', (fields) => (heard ??= fields['grpc-status']));
    stream.resume();
    const prefix = Buffer.alloc(5);
    prefix.writeUInt8('grpc-encoding' in more ? 1 : 0, 0);
    prefix.writeUInt32BE(announcedBytes, 1);
    stream.write(Buffer.concat([prefix, body]));
    await until(() => heard !== undefined || stream.destroyed, 5000);
    session.destroy();
    return unless(heard === status, `the call ends with ${String(heard)}`);
  };
}

/** What is not HTTP/2 with prior knowledge is heard no further, and no call comes of it. */
function refused(bytes: string): Attack {
  return async (path) => {
    const connection = await RawConnection.open(path);
    await connection.send(Buffer.from(bytes, 'latin1'));
    const isOver = await connection.endsWithin(5000);
    const answer = connection.received.toString('latin1');
    connection.destroy();
    return [
      ...unless(isOver, 'the connection is left open'),
      ...unless(!answer.includes('200'), 'it is answered'),
    ];
  };
}

async function tooManyConnections(path: string): Promise<readonly string[]> {
  const connections: RawConnection[] = [];
  for (let count = 0; count < 1100; count += 1) connections.push(await RawConnection.open(path));
  const isBounded = await until(() => connections.some(({ isClosed }) => isClosed), 5000);
  for (const connection of connections) connection.destroy();
  return unless(isBounded, 'all are taken');
}

const floodCount = 20_000;
const mostGrowthMebibytes = 128;
