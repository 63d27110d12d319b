import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { managerStatus } from '../../../src/apps/fleet/admin-api/messages.ts';
import { BuiltCommand, needsBuild, sidekey } from '../../cli/built-command.ts';
import type { Member } from '../authority/fleet.ts';
import { eventually, ManagedFleet, type ManagerHome } from '../../support/managed-fleet.ts';
import { ManagerProcess } from '../../support/manager-process.ts';

describe('the manager as a program', function () {
  this.timeout(60_000);
  let all: ManagedFleet;
  let home: ManagerHome;
  let manager: ManagerProcess;

  before(async function () {
    needsBuild(this);
    all = new ManagedFleet();
    await all.start();
    home = await all.managerHome(
      'admin: { https: 127.0.0.1:0 }\nmetrics: { address: "unix:./metrics.sock" }',
    );
    manager = await ManagerProcess.start(home);
  });
  after(async () => {
    await manager.kill();
    await all.close();
  });

  const monitor = async (directory: string, path: string) => {
    const socketPath = join(directory, 'metrics.sock');
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request({ socketPath, path }, resolve).once('error', reject).end();
    });
    return { status: response.statusCode, text: await text(response) };
  };

  it('says that a configuration is good, or everything that is wrong with it', async () => {
    const directory = all.directory('check');
    const file = join(directory, 'manager.yaml');
    const check = (content: string) => {
      writeFileSync(file, content);
      return sidekey(['manager', '--check', '--config', file]);
    };
    const good = 'state: ./state\nsidecar: "unix:./s.sock"\n';
    expect(await check(good)).to.deep.equal({ code: 0, out: `${file}: ok\n`, err: '' });
    const bad = await check(
      [
        good + 'metrics: { address: 0.0.0.0:9465 }',
        'admin: { address: 127.0.0.1:1 }',
        'advertise: [manager.example:1]',
        'reconnect: { first: 10s, most: 1s }',
      ].join('\n'),
    );
    expect([bad.code, bad.out]).to.deep.equal([1, '']);
    const said = bad.err.trim().split('\n');
    expect(said).to.have.length(4);
    for (const [index, pattern] of [
      /manager\.yaml:4:.*admin\.address: must be a unix socket/u,
      /manager\.yaml:5:.*advertise: nobody can dial/u,
      /manager\.yaml:3:.*metrics\.address: must be of this host/u,
      /manager\.yaml:6:.*reconnect: first is more than most/u,
    ].entries()) {
      expect(said[index]).to.match(pattern);
    }
    const unknown = await check(
      `${good}heartbeat: { intervall: 1s, kept: 0 }\nmetrics: { address: x }`,
    );
    expect(unknown.err).to.match(/heartbeat: unknown setting "intervall"/u);
    expect(unknown.err)
      .to.match(/heartbeat\.kept/u)
      .and.match(/metrics\.address/u);
  });

  it('is ready once it knows who it is', async () => {
    expect(await monitor(home.directory, '/readyz')).to.deep.equal({ status: 200, text: 'ok\n' });
    const lost = all.directory('lost');
    const file = join(lost, 'manager.yaml');
    writeFileSync(
      file,
      'state: ./state\nsidecar: "unix:./nobody.sock"\nmetrics: { address: "unix:./metrics.sock" }\n',
    );
    const command = new BuiltCommand(['manager', '--config', file]);
    try {
      await command.says(/manager started/u);
      const { status, text: said } = await monitor(lost, '/readyz');
      expect(status).to.equal(503);
      expect(said).to.match(/sidecar/u);
      expect((await monitor(lost, '/healthz')).status).to.equal(200);
    } finally {
      await command.stop();
    }
  });

  it('counts its fleet for whoever reads metrics', async () => {
    const { listening } = await manager.status();
    await all.startAgent({
      enrolled: true,
      config: `mode: agent-initiated\nmanagers: ["${listening}"]`,
    });
    await eventually(async () => (await manager.status()).connected === 1);
    const { status, text: metrics } = await monitor(home.directory, '/metrics');
    expect(status).to.equal(200);
    for (const line of [
      'sidekey_manager_agents{state="pending"} 1',
      'sidekey_manager_agents{state="active"} 0',
      'sidekey_manager_connections{origin="accepted"} 1',
      'sidekey_manager_configurations_behind 0',
      'sidekey_manager_store_up 1',
    ]) {
      expect(metrics.split('\n')).to.include(line);
    }
    // Nothing an agent says of itself becomes a label.
    expect(metrics).not.to.match(/[0-9a-f]{8}-[0-9a-f]{4}-/u);
  });

  describe('over HTTPS', () => {
    let https: string;
    let spiffeId: string;

    before(async () => {
      [, https = ''] = await manager.says(/"address":"([^"]+)","msg":"operators can connect"/u);
      ({ spiffeId = '' } = await manager.ask(
        { method: 'GET', path: '/v1/manager' },
        managerStatus,
      ));
    });

    const status = async (role: 'operator' | 'agent' | 'manager' | 'service') => {
      const host: Member = await all.fleet.startHost();
      await all.fleet.enroll(all.authority.running, host, role);
      return await sidekey([
        ...['fleet', 'status', '--manager', https, '--manager-id', spiffeId],
        ...['--sidecar', host.composition.sidecar.address, '--output', 'json'],
      ]);
    };

    it('answers an operator', async () => {
      const { code, out, err } = await status('operator');
      expect([code, err]).to.deep.equal([0, '']);
      expect((JSON.parse(out) as { spiffeId: string }).spiffeId).to.equal(spiffeId);
    });

    for (const role of ['agent', 'manager', 'service'] as const) {
      it(`refuses a certificate of role ${role} in the handshake`, async () => {
        const { code, out, err } = await status(role);
        expect([code, out]).to.deep.equal([1, '']);
        expect(err).to.match(/access_denied|alert/u);
      });
    }
  });
});
