import { expect } from 'chai';
import { MqttClient } from 'mqtt';
import { type EventEmitter, once } from 'node:events';
import type { Daemon } from './support/daemon.ts';
import { examplesOf, runExample } from './support/documented-example.ts';
import { startMosquitto } from './support/mosquitto.ts';
import { skip } from './support/skip.ts';
import { applicationName, type Stage, startStage } from './support/stage.ts';

describe('mqttStreamBuilder with a real Mosquitto', () => {
  let stage: Stage;
  let server: Daemon;

  before(async function () {
    this.timeout(30_000);
    stage = await startStage();
    const started = await startMosquitto(stage.files());
    if (started === undefined) skip(this, 'no mosquitto is installed');
    server = started;
  });

  after(async () => {
    await (server as Daemon | undefined)?.stop();
    await stage.close();
  });

  const open = (options = {}, client = {}): MqttClient =>
    new MqttClient(stage.offload.mqttStreamBuilder(client), {
      host: 'localhost',
      port: server.port,
      reconnectPeriod: 0,
      ...options,
    });

  it('runs the documented example', async () => {
    const [example = ''] = examplesOf('mqtt.md');
    const output = await runExample(example, stage.sidecar.address, {
      'broker.example.org': 'localhost',
      '8883': String(server.port),
    });
    expect(output).to.equal('app/greetings hello\n');
  });

  it('is known to the broker by its certificate', async () => {
    const client = open();
    const granted = await client.subscribeAsync([`${applicationName}/x`, 'somebody-else/x'], {
      qos: 2,
    });
    expect(granted.map(({ qos }) => qos)).to.deep.equal([2, 2]);
    const heard: string[] = [];
    client.on('message', (topic) => heard.push(topic));
    await client.publishAsync('somebody-else/x', 'no', { qos: 2 });
    const arrived = told(client, 'message');
    await client.publishAsync(`${applicationName}/x`, 'm'.repeat(200_000), { qos: 2 });
    const [, payload] = (await arrived) as [string, Buffer];
    expect(payload).to.have.length(200_000);
    expect(heard).to.deep.equal([`${applicationName}/x`]);
    await client.endAsync();
  });

  it('tells why it does not connect', async () => {
    const client = open({}, { servername: 'elsewhere.test' });
    const [error] = (await told(client, 'error')) as [Error];
    expect(error).to.have.property('code', 'ERR_TLS_CERT_ALTNAME_INVALID');
    await client.endAsync(true);
  });

  it('connects anew when the connection is lost', async () => {
    const client = open({ reconnectPeriod: 5 });
    await told(client, 'connect');
    client.stream.destroy();
    await told(client, 'connect');
    await client.endAsync();
  });
});

/** Its types know of no events. */
function told(client: MqttClient, event: string): Promise<unknown[]> {
  return once(client as unknown as EventEmitter, event);
}
