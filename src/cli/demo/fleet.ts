import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { AdministrationServiceService as Administration } from '../../gen/sidekey/v1/administration.ts';
import { withAuthority } from '../authority/client.ts';
import { parseId } from '../authority/identifiers.ts';
import { type DemoProcess, type ProcessGroup, waitForOutput } from './processes.ts';
import type { Stage } from './stage.ts';
import { check } from './story.ts';

/** Two hosts that enrolled, and a connection between their applications. */
export interface Fleet {
  /** Path of the administration socket. */
  readonly administration: string;
  /** SPIFFE ID of the host whose application is the client. */
  readonly clientId: string;
  readonly client: DemoProcess;
}

/**
 * An authority, two bundles, two hosts: by the commands a person would type.
 *
 * @param meetingPoint - address at which all hosts reach the authority
 */
export async function enrolFleet(
  { story, processes, rootFile }: Stage,
  meetingPoint: string,
): Promise<Fleet> {
  const directory = join(dirname(rootFile), 'fleet');
  await mkdir(directory, { mode: 0o700 });
  const config = join(directory, 'authority.yaml');
  const listen = `${meetingPoint}:${String(await freePort(meetingPoint))}`;
  await writeFile(config, `authority: { trustDomain: demo.test, listen: "${listen}" }\n`);
  await processes.runSidekey('authority init', ['authority', 'init', '--config', config]);
  const authority = processes.startSidekey('authority', ['sidecar', '--config', config]);
  await waitForOutput(authority, /authority started/u);
  const administration = join(directory, 'authority.sock');
  const bundles = join(directory, 'bundles');
  await processes.runSidekey('token create', [
    ...['token', 'create', '--authority', `unix:${administration}`, '--role', 'service'],
    ...['--count', '2', '--name', 'host', '--out', bundles],
  ]);
  story.fact('authority', `process ${String(authority.pid)}, listening on ${listen}`);
  const [serverId, clientId] = await Promise.all([
    enrolHost(processes, directory, 'shelf', join(bundles, 'host-00001.bundle')),
    enrolHost(processes, directory, 'scale', join(bundles, 'host-00002.bundle')),
  ]);
  story.fact('host shelf enrolled', serverId);
  story.fact('host scale enrolled', clientId);
  const server = processes.startSidekey('sidekey serve', [
    ...['serve', '--sidecar', `unix:${join(directory, 'shelf.sock')}`],
    ...['--listen', '127.0.0.1:0', '--client-auth', 'require'],
  ]);
  const [, address = ''] = await waitForOutput(server, /listening (\S+)/u);
  const client = processes.startSidekey('sidekey connect', [
    ...['connect', address, '--sidecar', `unix:${join(directory, 'scale.sock')}`],
    ...['--target-identity', serverId, '--close-after', 'never'],
  ]);
  client.child.stdin?.write('fourteen kilograms\n');
  await waitForOutput(client, /fourteen kilograms/u);
  story.fact('they talk', 'each proved who it is with a key that its sidecar made');
  story.proves('two hosts enrolled with one bundle each; nobody touched a key or a certificate');
  return { administration, clientId, client };
}

/** Throws one host out while it is connected. */
export async function revokeHost({ story }: Stage, fleet: Fleet): Promise<void> {
  const { administration, clientId, client } = fleet;
  const closed = once(client.child, 'close');
  const began = performance.now();
  const answer = await withAuthority({ kind: 'unix', path: administration }, (authority) =>
    authority.call(Administration.revoke, {
      idempotencyKey: 'demo',
      subject: { $case: 'agentId', value: parseId(clientId.split('/').at(-1) ?? '') },
      reason: 'keyCompromise',
      comment: '',
    }),
  );
  await closed;
  const milliseconds = Math.round(performance.now() - began);
  story.fact('revoked', `${String(answer.certificates)} certificates of ${clientId}`);
  story.fact('its connection', `closed ${String(milliseconds)} ms after the authority was asked`);
  check(
    client.lastOutput().includes('certificate_revoked'),
    `the client ended for another reason: ${client.lastOutput()}`,
  );
  story.proves('a host was revoked: its live connection was closed');
}

async function enrolHost(
  processes: ProcessGroup,
  directory: string,
  name: string,
  bundle: string,
): Promise<string> {
  const config = join(directory, `${name}.yaml`);
  await writeFile(
    config,
    [
      `state: ./${name}`,
      'listen:',
      `  - address: unix:./${name}.sock`,
      'identities:',
      `  ${name}: { enrolled: true, default: true }`,
      '',
    ].join('\n'),
  );
  const sidecar = processes.startSidekey(`sidecar of ${name}`, ['sidecar', '--config', config]);
  await waitForOutput(sidecar, /sidecar started/u);
  const output = await processes.runSidekey('enroll', [
    ...['enroll', '--bundle', bundle, '--sidecar', `unix:${join(directory, `${name}.sock`)}`],
  ]);
  return /enrolled as ([^,\s]+)/u.exec(output)?.[1] ?? '';
}

/** One that was free a moment ago: hosts have to be told a port before anybody listens on it. */
export async function freePort(host: string): Promise<number> {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}
