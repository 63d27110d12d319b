import { mkdtempSync, rmSync, writeFileSync, mkdirSync } from 'node:fs';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import {
  type ListeningPort,
  listeningPorts,
  parsePorts,
} from '../../../../src/apps/agent/collectors/listening-ports.ts';
import { PortWatch } from '../../../../src/apps/agent/collectors/port-watch.ts';
import { stillSurroundings } from '../support/surroundings.ts';

const heading =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n';
const line = (local: string, remote: string, state: string, uid = '1000') =>
  `   0: ${local} ${remote} ${state} 00000000:00000000 00:00000000 00000000  ${uid}        0 1 1 0 100 0 0 10 0\n`;
const zeros = '0'.repeat(32);

describe('listening ports', () => {
  const cases: readonly {
    readonly name: string;
    readonly protocol: ListeningPort['protocol'];
    readonly line: string;
    readonly port?: Partial<ListeningPort>;
  }[] = [
    {
      name: 'of TCP',
      protocol: 'tcp',
      line: line('0100007F:1F90', '00000000:0000', '0A'),
      port: { address: '127.0.0.1', port: 8080, uid: 1000 },
    },
    {
      name: 'of TCP over IPv6',
      protocol: 'tcp6',
      line: line('B80D0120000000000000000001000000:0016', `${zeros}:0000`, '0A', '0'),
      port: { address: '2001:db8::1', port: 22, uid: 0 },
    },
    {
      name: 'of all addresses of IPv6',
      protocol: 'tcp6',
      line: line(`${zeros}:0050`, `${zeros}:0000`, '0A'),
      port: { address: '::', port: 80 },
    },
    {
      name: 'of UDP that has no peer',
      protocol: 'udp',
      line: line('00000000:0035', '00000000:0000', '07'),
      port: { address: '0.0.0.0', port: 53 },
    },
    {
      name: 'without an owner that is a number',
      protocol: 'tcp',
      line: line('0100007F:1F90', '00000000:0000', '0A', '-'),
      port: { address: '127.0.0.1', port: 8080 },
    },
    {
      name: 'but not connections',
      protocol: 'tcp',
      line: line('0100007F:1F90', '0100007F:C000', '01'),
    },
    {
      name: 'but not UDP that talks to somebody',
      protocol: 'udp',
      line: line('0100007F:1F90', '0100007F:C000', '07'),
    },
    { name: 'but no line cut short', protocol: 'tcp', line: '   0: 0100007F:1F' },
    {
      name: 'but no port that is none',
      protocol: 'tcp',
      line: line('0100007F:50x', '00000000:0000', '0A'),
    },
    {
      name: 'but no port cut short',
      protocol: 'tcp',
      line: line('0100007F:1F', '00000000:0000', '0A'),
    },
    {
      name: 'but no address that is none',
      protocol: 'tcp',
      line: line('0100007:1F90', '00000000:0000', '0A'),
    },
    {
      name: 'but no address of the other family',
      protocol: 'tcp',
      line: line(`${zeros}:1F90`, `${zeros}:0000`, '0A'),
    },
    { name: 'but nothing of something else', protocol: 'tcp', line: '\0'.repeat(200) },
  ];
  for (const { name, protocol, line: text, port } of cases) {
    it(`are read ${name}`, () => {
      const found = parsePorts(protocol, heading + text);
      if (port === undefined) expect(found).to.deep.equal([]);
      else {
        expect(found).to.have.length(1);
        expect(found[0]).to.deep.include({ protocol, ...port });
        expect('uid' in found[0]!).to.equal(!text.includes(' - '));
      }
    });
  }

  it('are those this host has', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    const datagrams = createSocket('udp4').bind(0, '127.0.0.1');
    await Promise.all([once(server, 'listening'), once(datagrams, 'listening')]);
    const found = await listeningPorts(4096);
    const uid = process.getuid?.() ?? 0;
    expect(found).to.deep.include({
      protocol: 'tcp',
      address: '127.0.0.1',
      port: (server.address() as AddressInfo).port,
      uid,
    });
    expect(found).to.deep.include({
      protocol: 'udp',
      address: '127.0.0.1',
      port: datagrams.address().port,
      uid,
    });
    server.close();
    datagrams.close();
  });

  it('are no more than asked for, and those of tables there are', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'sidekey-proc-'));
    const tables = Array.from({ length: 9 }, (_, at) =>
      line(`0100007F:00${at.toString(16).padStart(2, '0').toUpperCase()}`, '00000000:0000', '0A'),
    );
    writeFileSync(join(directory, 'tcp'), heading + tables.join(''));
    expect(await listeningPorts(5, directory)).to.have.length(5);
    rmSync(join(directory, 'tcp'));
    mkdirSync(join(directory, 'tcp'));
    const error = await listeningPorts(5, directory).catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(Error);
    rmSync(directory, { recursive: true });
    expect(await listeningPorts(5, directory)).to.deep.equal([]);
  });

  it('that come and go are told of, but not while their table cannot be read', async () => {
    const told: string[] = [];
    let read: () => Promise<readonly ListeningPort[]> = () => Promise.resolve([]);
    let look = (): void => undefined;
    const surroundings = stillSurroundings();
    const watch = new PortWatch(
      1000,
      { add: (kind, message) => told.push(`${kind} ${message}`) },
      {
        ...surroundings,
        timers: {
          after: (_ms, callback) => {
            look = callback;
            return () => undefined;
          },
        },
      },
      () => read(),
    );
    const looked = async (ports: readonly ListeningPort[] | Error): Promise<readonly string[]> => {
      told.length = 0;
      read = () => (ports instanceof Error ? Promise.reject(ports) : Promise.resolve(ports));
      look();
      await new Promise((resolve) => setImmediate(resolve));
      return [...told];
    };
    const ssh: ListeningPort = { protocol: 'tcp', address: '0.0.0.0', port: 22 };
    const question: ListeningPort = { protocol: 'udp', address: '0.0.0.0', port: 40_000 };
    watch.start();
    await new Promise((resolve) => setImmediate(resolve));
    expect(await looked([ssh, question])).to.deep.equal(['port_opened tcp 0.0.0.0:22']);
    expect(await looked([ssh])).to.deep.equal([]);
    expect(await looked(new Error('EMFILE'))).to.deep.equal([]);
    expect(await looked([ssh])).to.deep.equal([]);
    expect(await looked([])).to.deep.equal(['port_closed tcp 0.0.0.0:22']);
    watch.close();
  });
});
