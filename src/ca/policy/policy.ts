import { z } from 'zod';
import type { Role } from '../store/schema.ts';

/**
 * What is issued to whom. Documents are kept as JSON under a name and a version, which is never
 * edited. A token names its policy; each certificate is issued, and marked, by the newest version of it.
 */
export type IssuancePolicy = z.output<typeof issuancePolicy>;

const roleNames = ['manager', 'agent', 'service', 'operator'] as const satisfies readonly Role[];
const keyTypes = [
  'ecdsa-p256',
  'ecdsa-p384',
  'ed25519',
  'rsa-2048',
  'rsa-3072',
  'rsa-4096',
] as const;
/** What a key has to be; for RSA the size is the least. */
export type PolicyKeyType = (typeof keyTypes)[number];

const hour = 3600;
const day = 24 * hour;

export const issuancePolicy = z.strictObject({
  /** Which tokens it is for; of several that match, the one of the highest priority, then by name. */
  match: z
    .strictObject({
      roles: z.array(z.enum(roleNames)).min(1).max(roleNames.length),
      /** All of these have to be properties of the token; `*` is any value. */
      properties: z.record(z.string().max(64), z.string().max(256)).default({}),
    })
    .readonly(),
  priority: z.int().min(0).max(1_000_000).default(0),
  /** Of TLS and decryption certificates. */
  certificateSeconds: z
    .int()
    .min(60)
    .max(90 * day)
    .default(day),
  /** How long a token can be used, at the most. */
  tokenSeconds: z
    .int()
    .min(60)
    .max(366 * day)
    .default(30 * day),
  /** How long after its end a certificate can still be renewed. */
  graceSeconds: z
    .int()
    .min(0)
    .max(366 * day)
    .default(7 * day),
  tlsKeys: z
    .array(z.enum(keyTypes))
    .min(1)
    .default(['ecdsa-p256', 'ecdsa-p384', 'ed25519', 'rsa-2048']),
  decryptionKeys: z
    .array(z.enum(['ecdsa-p256', 'ecdsa-p384', 'rsa-2048', 'rsa-3072', 'rsa-4096']))
    .default(['ecdsa-p256', 'ecdsa-p384', 'rsa-2048']),
  /**
   * DNS names a token may give its host (its property `dns`, separated by commas). A pattern is a name,
   * or `*.` and a name for any one label before it. None: no host has DNS names.
   */
  dnsNames: z
    .array(z.string().regex(/^(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*$/))
    .max(64)
    .default([]),
  /** Whether hosts may do everything at once, or wait for an administrator. */
  activation: z.enum(['automatic', 'administrator']).default('automatic'),
  /** What happens to an agent whose spent renewal token comes again with another key. */
  onClone: z.enum(['quarantine', 'alert']).default('quarantine'),
});

/** What an authority starts with. */
export const defaultPolicies: Readonly<Record<string, z.input<typeof issuancePolicy>>> = {
  default: { match: { roles: ['manager', 'agent', 'service'] } },
  operators: { match: { roles: ['operator'] }, tokenSeconds: day, graceSeconds: 0 },
};
