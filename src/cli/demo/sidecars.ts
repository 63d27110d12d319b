import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DemoAuthority, IssuedIdentity } from './authority.ts';
import type { DemoProcess, ProcessGroup } from './processes.ts';

/** One of the demo's two hosts. */
export interface DemoHost {
  readonly name: string;
  readonly identity: IssuedIdentity;
  readonly spiffeId: string;
  /** As applications are given it. */
  readonly sidecarAddress: string;
  readonly configFile: string;
}

/** Gives a host its key, and its sidecar a configuration such as a person would write. */
export async function prepareHost(
  authority: DemoAuthority,
  directory: string,
  rootFile: string,
  names: { readonly name: string; readonly dnsNames: readonly string[] },
): Promise<DemoHost> {
  const spiffeId = `spiffe://demo.test/service/${randomUUID()}`;
  const identity = await authority.issue(directory, names.name, {
    uris: [spiffeId],
    dnsNames: names.dnsNames,
  });
  const configFile = join(directory, 'sidecar.yaml');
  const socket = join(directory, 'sidecar.sock');
  await writeFile(
    configFile,
    [
      'state: ./state',
      'listen:',
      '  - address: unix:./sidecar.sock',
      'identities:',
      '  demo:',
      `    certificate: ${JSON.stringify(identity.certificateFile)}`,
      `    privateKey: ${JSON.stringify(identity.privateKeyFile)}`,
      '    default: true',
      'trust:',
      `  bundle: ${JSON.stringify(rootFile)}`,
      'tls:',
      '  clientAuth: require',
      'log: { level: debug }',
      '',
    ].join('\n'),
  );
  return { name: names.name, identity, spiffeId, sidecarAddress: `unix:${socket}`, configFile };
}

/** Starts a host's sidecar. */
export function startSidecar(processes: ProcessGroup, host: DemoHost): DemoProcess {
  return processes.startSidekey(`sidecar of ${host.name}`, [
    'sidecar',
    '--config',
    host.configFile,
  ]);
}
