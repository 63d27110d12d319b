import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import { managerStatus } from '../../src/apps/fleet/admin-api/messages.ts';
import { type FleetRequest, withManager } from '../../src/cli/fleet/client.ts';
import { BuiltCommand } from '../cli/built-command.ts';
import { eventually, type ManagerHome } from './managed-fleet.ts';

/** The built manager in a process of its own, asked as `sidekey fleet` asks it. */
export class ManagerProcess {
  readonly #command: BuiltCommand;
  readonly #socket: string;

  private constructor(command: BuiltCommand, socket: string) {
    this.#command = command;
    this.#socket = socket;
  }

  /** On the state that a manager before it has left, if there was one. It knows who it is when this resolves. */
  static async start({ configText, directory }: ManagerHome): Promise<ManagerProcess> {
    const file = join(directory, 'manager.yaml');
    writeFileSync(file, configText);
    const command = new BuiltCommand(['manager', '--config', file]);
    const started = new ManagerProcess(command, join(directory, 'manager.sock'));
    await command.says(/manager started/u);
    await eventually(async () => (await started.status()).listening !== '');
    return started;
  }

  status(): Promise<z.output<typeof managerStatus>> {
    return this.ask({ method: 'GET', path: '/v1/manager' }, managerStatus);
  }

  /** Rejects with `ManagerError`, also when the manager dies before it has answered. */
  ask<Schema extends z.ZodType>(request: FleetRequest, answer: Schema): Promise<z.output<Schema>> {
    return withManager({ kind: 'unix', path: this.#socket }, (client) =>
      client.call(request, answer),
    );
  }

  /** The first match in its log. */
  says(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#command.says(pattern);
  }

  /** It gets no chance to say goodbye. */
  async kill(): Promise<void> {
    await this.#command.stop('SIGKILL');
  }
}
