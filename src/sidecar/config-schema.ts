import { z } from 'zod';
import { cipherSuites } from '../tls/cipher-suites.ts';
import { authoritySchema } from './authority-schema.ts';
import {
  address,
  count,
  duration,
  numericId,
  path,
  permissions,
  shortDuration,
} from './config-values.ts';

/**
 * The configuration file, setting by setting, with every default. Unknown keys are errors; what two
 * settings mean together is checked in `config.ts`.
 */

const allowRule = z.strictObject({
  uid: numericId.optional(),
  gid: numericId.optional(),
  tokenFile: path.optional(),
  identities: z.array(z.string()).min(1, 'must name at least one identity'),
});

const listener = z.strictObject({
  address,
  mode: permissions.default('0600'),
  owner: numericId.optional(),
  group: numericId.optional(),
  allow: z.array(allowRule).default([]),
  dangerouslyAllowRemote: z.boolean().default(false),
});

const identityName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/u, 'names are letters, digits, dot, dash, underscore');

const fileSettings = ['certificate', 'privateKey'] as const;
const enrolledSettings = ['keyType', 'decryptionKeyType'] as const;

/** Either files, or keys this sidecar makes itself and has certified by an authority. */
const identity = z
  .strictObject({
    certificate: path.optional(),
    privateKey: path.optional(),
    enrolled: z.literal(true, 'is true or left out').optional(),
    keyType: z.enum(['ecdsa-p256', 'ecdsa-p384', 'ed25519', 'rsa']).optional(),
    decryptionKeyType: z.enum(['ecdsa-p256', 'rsa', 'none']).optional(),
    default: z.boolean().default(false),
  })
  .check(({ value, issues }) => {
    for (const name of fileSettings) {
      if ((value[name] === undefined) === (value.enrolled === true)) continue;
      const message =
        value.enrolled === true ? 'is not for enrolled identities' : 'needed, or enrolled: true';
      issues.push({ code: 'custom', path: [name], message, input: value });
    }
    for (const name of enrolledSettings) {
      if (value[name] === undefined || value.enrolled === true) continue;
      const message = 'is for enrolled identities';
      issues.push({ code: 'custom', path: [name], message, input: value });
    }
  });

const trust = z.strictObject({
  bundle: path.optional(),
  // How long an enrolled identity is good for without a word from its authority.
  staleAfter: duration.default(86_400_000),
  whenStale: z.enum(['warn', 'refuse']).default('warn'),
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
    listen: z.array(listener).default([]),
    identities: z.record(identityName, identity).default({}),
    trust: trust.prefault({}),
    authority: authoritySchema.optional(),
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
