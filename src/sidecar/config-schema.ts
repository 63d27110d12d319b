import { z } from 'zod';
import { parseListenAddress } from '../rpc/address.ts';
import { cipherSuites } from '../tls/cipher-suites.ts';

/**
 * The configuration file, setting by setting, with every default. Unknown keys are errors; what two
 * settings mean together is checked in `config.ts`.
 */

const duration = z
  .string('expected a duration such as 10s')
  .regex(/^\d{1,9}(?:ms|s|m|h)$/u, 'expected a duration such as 500ms, 10s, 5m or 1h')
  .transform((text) => {
    const unit = text.replace(/^\d+/u, '');
    return Number.parseInt(text, 10) * (millisecondsOf.get(unit) ?? 1);
  })
  .refine((milliseconds) => milliseconds > 0, 'must be longer than nothing');

const millisecondsOf = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
]);

function shortDuration(maxMs: number, text: string): typeof duration {
  return duration.refine(
    (milliseconds) => milliseconds <= maxMs,
    `must not be longer than ${text}`,
  );
}

const path = z.string().min(1, 'must not be empty');
const numericId = z.int().min(0).max(0xffff_fffe);
const count = (most: number): z.ZodInt => z.int().min(1).max(most);

const address = z.string().check((context) => {
  try {
    parseListenAddress(context.value);
  } catch (error) {
    context.issues.push({
      code: 'custom',
      message: error instanceof Error ? error.message : String(error),
      input: context.value,
    });
  }
});

const allowRule = z.strictObject({
  uid: numericId.optional(),
  gid: numericId.optional(),
  tokenFile: path.optional(),
  identities: z.array(z.string()).min(1, 'must name at least one identity'),
});

const listener = z.strictObject({
  address,
  mode: z
    .string('expected permission bits as text, such as "0660"')
    .regex(/^0?[0-7]{3}$/u, 'expected permission bits such as "0660"')
    .default('0600'),
  owner: numericId.optional(),
  group: numericId.optional(),
  allow: z.array(allowRule).default([]),
  dangerouslyAllowRemote: z.boolean().default(false),
});

const identityName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/u, 'names are letters, digits, dot, dash, underscore');

const identity = z.strictObject({
  certificate: path,
  privateKey: path,
  default: z.boolean().default(false),
});

const tls = z.strictObject({
  minVersion: z.literal('TLSv1.2', 'this sidecar speaks TLSv1.2 only').default('TLSv1.2'),
  clientAuth: z.enum(['none', 'request', 'require']).default('require'),
  handshakeTimeout: shortDuration(120_000, '2m').default(10_000),
  firstMessageTimeout: shortDuration(120_000, '2m').default(5000),
  idleTimeout: shortDuration(120_000, '2m').default(3000),
  requireExtendedMasterSecret: z.boolean().default(false),
  requireRenegotiationInfo: z.boolean().default(true),
  requireApplicationProtocol: z.boolean().default(false),
  unknownServerName: z.enum(['default', 'refuse']).default('default'),
  sessionTickets: z.boolean().default(true),
  // RFC 9325 §3.4: a stolen ticket key opens all sessions of its window.
  ticketLifetime: shortDuration(12 * 3_600_000, '12h')
    .refine((milliseconds) => milliseconds >= 1000, 'must be at least 1s')
    .default(3_600_000),
  cipherSuites: z
    .array(z.enum(cipherSuites.map((suite) => suite.name)))
    .min(1)
    .optional(),
  namedGroups: z
    .array(z.enum(['secp256r1', 'x25519', 'secp384r1']))
    .min(1)
    .default(['secp256r1', 'x25519', 'secp384r1']),
});

const limits = z.strictObject({
  handshakes: count(65_536).default(512),
  queue: z.int().min(0).max(1_000_000).default(1024),
  queueTimeout: shortDuration(60_000, '1m').default(2000),
  callerShare: z.number().gt(0).max(1).default(0.25),
  connections: count(65_536).default(1024),
  streamsPerConnection: count(65_536).default(1024),
  rsaSignatures: count(1024).default(64),
  p384PerSecond: count(10_000).default(100),
  clientSessions: z.int().min(0).max(1_000_000).default(4096),
});

export const configSchema = z.strictObject(
  {
    state: path.default('./state'),
    listen: z.array(listener).min(1, 'must hold at least one listener'),
    identities: z
      .record(identityName, identity)
      .refine((all) => Object.keys(all).length > 0, 'must hold at least one identity'),
    trust: z.strictObject({ bundle: path }),
    tls: tls.prefault({}),
    limits: limits.prefault({}),
    admin: z
      .strictObject({ address, dangerouslyAllowRemote: z.boolean().default(false) })
      .optional(),
    log: z
      .strictObject({ level: z.enum(['error', 'warn', 'info', 'debug', 'trace']).default('info') })
      .prefault({}),
    reflection: z.boolean().default(false),
    drainTimeout: shortDuration(600_000, '10m').default(30_000),
  },
  { error: (issue) => (issue.code === 'invalid_type' ? 'expected a map of settings' : undefined) },
);

export type RawConfig = z.infer<typeof configSchema>;
