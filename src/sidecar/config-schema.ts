import { z } from 'zod';
import { parseSpiffePattern } from '../pki/index.ts';
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
  // What the caller may do with these identities besides handshakes, and whom he may talk to.
  enroll: z.boolean().default(false),
  renew: z.boolean().default(false),
  pinnedPeers: z.boolean().default(false),
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

const peerPattern = z
  .string()
  .refine(
    (text) => parseSpiffePattern(text) !== undefined,
    'must be a SPIFFE ID, or one whose last segment is *',
  );

/** Whose settings are whose. */
const identitySettings = {
  files: ['certificate', 'privateKey'],
  enrolled: ['keyType', 'decryptionKeyType'],
  'self-signed': ['until', 'trust', 'peers'],
} as const;

/**
 * Files; or keys this sidecar makes itself, and has certified by an authority (`enrolled`) or certifies
 * itself for the time before that (`selfSigned`).
 */
const identity = z
  .strictObject({
    certificate: path.optional(),
    privateKey: path.optional(),
    enrolled: z.literal(true, 'is true or left out').optional(),
    keyType: z.enum(['ecdsa-p256', 'ecdsa-p384', 'ed25519', 'rsa']).optional(),
    decryptionKeyType: z.enum(['ecdsa-p256', 'rsa', 'none']).optional(),
    selfSigned: z.literal(true, 'is true or left out').optional(),
    until: z.string().optional(),
    trust: path.optional(),
    peers: z.array(peerPattern).min(1, 'must hold at least one SPIFFE ID').optional(),
    default: z.boolean().default(false),
  })
  .check(({ value, issues }) => {
    const report = (name: string, message: string): void => {
      issues.push({ code: 'custom', path: [name], message, input: value });
    };
    const kind = kindOf(value);
    for (const owner of identityKinds) {
      if (owner === kind) continue;
      const message =
        owner === 'files' ? `is not for ${kind} identities` : `is for ${owner} identities`;
      for (const name of identitySettings[owner]) {
        if (value[name] !== undefined) report(name, message);
      }
    }
    if (value.enrolled === true && value.selfSigned === true) {
      report('selfSigned', 'and enrolled exclude each other');
    }
    if (kind === 'files') {
      for (const name of identitySettings.files) {
        if (value[name] === undefined) report(name, 'needed, or enrolled: true');
      }
    }
    if (kind !== 'self-signed') return;
    if (value.until === undefined) report('until', 'needed: the identity whose enrolment ends it');
    if (value.default) report('default', 'is not for self-signed identities');
    if (value.peers !== undefined && value.trust === undefined) {
      report('peers', 'needs trust: a SPIFFE ID is worth what vouches for it');
    }
  });

const identityKinds = ['files', 'enrolled', 'self-signed'] as const;

/** What an identity is, by the setting that says so. */
export function kindOf({
  enrolled,
  selfSigned,
}: {
  readonly enrolled?: true | undefined;
  readonly selfSigned?: true | undefined;
}): (typeof identityKinds)[number] {
  if (enrolled === true) return 'enrolled';
  return selfSigned === true ? 'self-signed' : 'files';
}

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
  messagesPerSecond: count(10_000).default(200),
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
