import { z } from 'zod';
import { address, count, duration, path, permissions, shortDuration } from './config-values.ts';

/** The section `authority`, setting by setting, with every default. */

const trustDomain = z
  .string()
  .regex(/^[a-z0-9._-]{1,255}$/u, 'expected a SPIFFE trust domain such as example.org');

/** A name or an address, with a port, as hosts reach it. */
const reachable = z
  .string()
  .regex(
    /^(?:\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):\d{1,5}$/u,
    'expected HOST:PORT, such as ca.example.org:8443',
  );

const storeForms = 'expected sqlite:PATH, postgres://USER@HOST/DATABASE, or a map with urlFile';

const store = z.union(
  [
    z.string().regex(/^(?:sqlite:.+|postgres(?:ql)?:\/\/.+)$/su, storeForms),
    z.strictObject({ urlFile: path }),
  ],
  { error: storeForms },
);

const keys = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({ kind: z.literal('disk'), passphraseFile: path.optional() }),
    z.strictObject({
      kind: z.literal('pkcs11'),
      module: path,
      tokenLabel: z.string().min(1).max(32),
      pinFile: path,
      // Of keys that the token cannot make, which are then on disk.
      passphraseFile: path.optional(),
    }),
  ],
  { error: 'expected a map with kind disk or pkcs11' },
);

const limits = z.strictObject({
  connections: count(1_000_000).default(16_384),
  // Many hosts stand behind one address.
  connectionsPerSource: count(1_000_000).default(4096),
  handshakes: count(65_536).default(64),
  handshakesPerSecondPerSource: count(1_000_000).default(200),
  handshakeTimeout: shortDuration(120_000, '2m').default(10_000),
  requests: count(1_000_000).default(4096),
});

const rotation = z.strictObject({
  automatic: z.boolean().default(true),
  // Who was not heard of for so long does not hold up a rotation. Absent: everybody does.
  countAgentsSeenWithin: duration.optional(),
});

export const authoritySchema = z.strictObject({
  trustDomain,
  store: store.optional(),
  keys: keys.prefault({ kind: 'disk' }),
  listen: address,
  advertise: z.array(reachable).max(16).default([]),
  administration: z
    .strictObject({
      address: address.default('unix:./authority.sock'),
      mode: permissions.default('0600'),
    })
    .prefault({}),
  http: z
    .strictObject({ address, publicUrl: z.url({ protocol: /^http$/u }).optional() })
    .optional(),
  enrolment: z.enum(['closed', 'open']).default('closed'),
  // How long after its end a certificate still lets its host renew; no policy can grant more.
  expiredGrace: duration.default(30 * 86_400_000),
  limits: limits.prefault({}),
  rotation: rotation.prefault({}),
});

export type RawAuthority = z.infer<typeof authoritySchema>;
