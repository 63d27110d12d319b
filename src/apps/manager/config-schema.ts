import { z } from 'zod';
import { address, count, duration, path, shortDuration } from '../../sidecar/config-values.ts';

const hostPort = z
  .string()
  .regex(/^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,253}):\d{1,5}$/u, 'expected HOST:PORT');

/** Who of the agents that come by themselves is active at once. All that a rule says has to hold. */
const rule = z
  .strictObject({
    /** UUIDs. */
    agents: z.array(z.uuid()).min(1).max(100_000).optional(),
    /** Names in the certificate; one may begin with `*.`. */
    dnsNames: z.array(z.string().min(1).max(253)).min(1).max(1024).optional(),
    /** `10.0.0.0/8`, `2001:db8::/32` or one address. */
    addresses: z
      .array(z.union([z.cidrv4(), z.cidrv6(), z.ipv4(), z.ipv6()]))
      .min(1)
      .max(1024)
      .optional(),
    /** No other condition: every agent the authority issued a certificate to. */
    any: z.literal(true).optional(),
    /** Put on those it fits. */
    labels: z.record(z.string().min(1).max(64), z.string().max(256)).default({}),
  })
  .refine(
    ({ agents, dnsNames, addresses, any }) =>
      (any === true) !==
      (agents !== undefined || dnsNames !== undefined || addresses !== undefined),
    'needs agents, dnsNames or addresses, or else "any: true" alone',
  );

/** The configuration file of a manager, as written. */
export const managerConfigSchema = z.strictObject({
  state: path,
  sidecar: z.string().min(1),
  tokenFile: path.optional(),
  identity: z.string().min(1).max(64).optional(),
  store: z
    .union([
      z.strictObject({ sqlite: path }),
      /** File with a `postgres://…` URL. */
      z.strictObject({ postgresUrlFile: path }),
    ])
    .prefault({ sqlite: 'manager.db' }),
  listen: hostPort.optional(),
  advertise: z.array(hostPort).min(1).max(8).optional(),
  admin: z
    .strictObject({
      address: address.default('unix:./manager.sock'),
      https: hostPort.optional(),
      /** By which browsers reach it. */
      names: z.array(z.string().min(1).max(253)).max(64).default([]),
    })
    .prefault({}),
  activation: z
    .union([z.literal('manual'), z.strictObject({ automatic: z.array(rule).min(1).max(1024) })])
    .default('manual'),
  heartbeat: z
    .strictObject({
      interval: shortDuration(86_400_000, '1d').prefault('60s'),
      jitter: z.number().min(0).max(0.5).default(0.2),
      missedAfter: count(1000).default(3),
      timeout: shortDuration(300_000, '5m').prefault('30s'),
      kept: count(2000).default(200),
    })
    .prefault({}),
  keepAlive: duration.prefault('30s'),
  reconnect: z
    .strictObject({
      first: duration.prefault('1s'),
      most: shortDuration(3_600_000, '1h').prefault('5m'),
    })
    .prefault({}),
  limits: z
    .strictObject({
      handshakesPerSecond: count(100_000).default(300),
      handshakesAtOnce: count(10_000).default(64),
      handshakesWaiting: count(100_000).default(4096),
      agents: count(1_000_000).default(20_000),
      requestsAtOnce: count(10_000).default(200),
      eventsKept: count(1_000_000).default(10_000),
    })
    .prefault({}),
  log: z
    .strictObject({ level: z.enum(['error', 'warn', 'info', 'debug']).default('info') })
    .prefault({}),
  metrics: z.strictObject({ address }).optional(),
});

export type RawManagerConfig = z.output<typeof managerConfigSchema>;
export type RawActivationRule = z.output<typeof rule>;
