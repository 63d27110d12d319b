import { z } from 'zod';
import { count, duration, path, shortDuration } from '../../sidecar/index.ts';
import { connectionModes } from '../fleet/agent-api/connection.ts';

/** The configuration file of an agent, setting by setting, with every default (doc/agent.md has the table). */

const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/u, 'names are letters, digits, dot, dash, underscore');

/** HOST:PORT to dial; HOST may be a name, here. */
export const managerAddress = z
  .string()
  .max(300)
  .regex(
    /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?):\d{1,5}$/u,
    'expected HOST:PORT',
  )
  .refine((text) => portOf(text) >= 1 && portOf(text) <= 65_535, 'port is out of range');

const listenAddress = z
  .string()
  .regex(/^(?:\[[0-9a-fA-F:.]+\]|[^:[\]]+):\d{1,5}$/u, 'expected ADDRESS:PORT')
  .refine((text) => portOf(text) <= 65_535, 'port is out of range');

const managerId = z
  .string()
  .regex(
    /^spiffe:\/\/[a-z0-9._-]{1,255}\/manager\/(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\*)$/u,
    'expected spiffe://TRUST-DOMAIN/manager/UUID',
  );

const absolutePath = path.refine((text) => text.startsWith('/'), 'must be an absolute path');

const pattern = z
  .string()
  .min(1)
  .max(1000)
  .refine((text) => {
    try {
      new RegExp(`^(?:${text})$`, 'u');
      return true;
    } catch {
      return false;
    }
  }, 'is no regular expression');

const operation = z
  .strictObject({
    /** Program and arguments; `{name}` stands for the argument of that name. Never a shell's line. */
    command: z.array(z.string().min(1).max(4096)).min(1).max(64),
    arguments: z.record(name, z.strictObject({ pattern })).default({}),
    timeout: shortDuration(86_400_000, '1d').default(60_000),
    maxOutput: count(65_536).default(65_536),
  })
  .check(({ value, issues }) => {
    const [program = '', ...rest] = value.command;
    const complain = (message: string, at: readonly PropertyKey[]): void => {
      issues.push({ code: 'custom', path: [...at], message, input: value });
    };
    if (!program.startsWith('/')) complain('the program must be an absolute path', ['command', 0]);
    if (placeholder.test(program)) complain('the program must not be an argument', ['command', 0]);
    const used = new Set(
      rest.flatMap((text) => [...text.matchAll(placeholders)].map(([, found]) => found)),
    );
    for (const one of Object.keys(value.arguments)) {
      if (!used.has(one)) complain('is not used by the command', ['arguments', one]);
    }
    for (const one of used) {
      if (one !== undefined && !Object.hasOwn(value.arguments, one)) {
        complain(`uses {${one}}, which arguments does not have`, ['command']);
      }
    }
  });

export const agentConfigSchema = z.strictObject(
  {
    state: path.default('./state'),
    sidecar: z.string('expected unix:PATH or HOST:PORT of the sidecar').min(1),
    tokenFile: path.optional(),
    identity: name.default('agent'),
    bootstrap: name.optional(),
    bundle: path.optional(),
    mode: z.enum(connectionModes).default('manager-initiated'),
    listen: listenAddress.optional(),
    managers: z.array(managerAddress).max(8).default([]),
    manager: z
      .union([managerId, z.array(managerId).min(1).max(16)])
      .transform((one) => (typeof one === 'string' ? [one] : one))
      .optional(),
    reconnect: z
      .strictObject({
        least: shortDuration(60_000, '1m').default(1000),
        first: shortDuration(3_600_000, '1h').default(10_000),
        most: shortDuration(86_400_000, '1d').default(300_000),
      })
      .prefault({}),
    operations: z.record(name, operation).default({}),
    files: z
      .strictObject({
        allow: z.array(absolutePath).max(256).default([]),
        maxFileBytes: count(64 * 1024 ** 3).default(1024 ** 3),
        bytesPerSecond: count(10 * 1024 ** 3).default(16 * 1024 ** 2),
      })
      .prefault({}),
    events: z
      .strictObject({
        maxBytes: z
          .int()
          .min(64 * 1024)
          .max(1024 ** 3)
          .default(16 * 1024 ** 2),
      })
      .prefault({}),
    apply: z
      .strictObject({
        command: z.array(z.string().min(1).max(4096)).min(1).max(64),
        timeout: shortDuration(600_000, '10m').default(20_000),
      })
      .optional(),
    status: z
      .strictObject({
        disks: z.array(absolutePath).max(64).default(['/']),
        portsEvery: duration.default(60_000),
      })
      .prefault({}),
    log: z
      .strictObject({ level: z.enum(['error', 'warn', 'info', 'debug', 'trace']).default('info') })
      .prefault({}),
  },
  { error: (issue) => (issue.code === 'invalid_type' ? 'expected a map of settings' : undefined) },
);

export type RawAgentConfig = z.infer<typeof agentConfigSchema>;

function portOf(text: string): number {
  return Number(text.slice(text.lastIndexOf(':') + 1));
}

/** What stands for an argument in a command. */
export const placeholders = /\{([A-Za-z0-9][A-Za-z0-9._-]{0,63})\}/gu;
const placeholder = new RegExp(placeholders.source, 'u');
