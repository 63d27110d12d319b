import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Daemon, findProgram, startDaemon } from './daemon.ts';
import type { ServerFiles } from './stage.ts';
import { freePort } from '../../support/free-port.ts';

/**
 * A real Mosquitto that knows its users by their certificates' common name and lets each use topics
 * below that name only; `undefined`: not installed.
 */
export async function startMosquitto(files: ServerFiles): Promise<Daemon | undefined> {
  const command = findProgram('mosquitto');
  if (command === undefined) return undefined;
  const configuration = join(files.directory, `mosquitto-${String(await freePort())}.conf`);
  const rules = join(files.directory, 'mosquitto.acl');
  // It refuses files others can read or that are not its own.
  writeFileSync(rules, 'pattern readwrite %u/#\n', { mode: 0o600 });
  return startDaemon({
    command,
    ready: /mosquitto version \S+ running/,
    arguments: (port) => {
      writeFileSync(
        configuration,
        [
          'user root',
          `listener ${String(port)} 127.0.0.1`,
          `cafile ${files.roots}`,
          `certfile ${files.certificate}`,
          `keyfile ${files.privateKey}`,
          'require_certificate true',
          'use_identity_as_username true',
          'allow_anonymous false',
          `acl_file ${rules}`,
          '',
        ].join('\n'),
      );
      return ['-c', configuration];
    },
  });
}
