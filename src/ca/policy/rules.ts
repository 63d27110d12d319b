import type { RequestedKey } from '../keys/crypto-protocol.ts';
import type { Properties } from '../tokens/properties.ts';
import type { IssuancePolicy, PolicyKeyType } from './policy.ts';

/** Whether one of `allowed` lets a key through: its kind, and for RSA at least its size. */
export function allowsKey(allowed: readonly PolicyKeyType[], key: RequestedKey): boolean {
  switch (key.kind) {
    case 'ecdsa-p256':
    case 'ecdsa-p384':
    case 'ed25519':
      return allowed.includes(key.kind);
    case 'rsa':
    case 'rsa-pss':
      return allowed.some((type) => {
        const least = rsaBits[type];
        return least !== undefined && key.bits >= least;
      });
  }
}

/** A restricted RSA key cannot decrypt (RFC 4055 §1.2), nor can an Ed25519 key. */
export function allowsDecryptionKey(policy: IssuancePolicy, key: RequestedKey): boolean {
  if (key.kind === 'rsa-pss' || key.kind === 'ed25519') return false;
  return allowsKey(policy.decryptionKeys, key);
}

/**
 * The DNS names a host gets: those of its property `dns`, separated by commas, if the policy allows
 * each of them. `undefined`: it does not.
 */
export function dnsNamesOf(
  policy: IssuancePolicy,
  properties: Properties,
): readonly string[] | undefined {
  const text = Object.hasOwn(properties, 'dns') ? properties['dns'] : undefined;
  if (text === undefined || policy.dnsNames.length === 0) return [];
  const names = [...new Set(text.split(',').map((name) => name.trim()))];
  return names.every((name) => policy.dnsNames.some((pattern) => matchesPattern(pattern, name)))
    ? names
    : undefined;
}

function matchesPattern(pattern: string, name: string): boolean {
  if (!isName(name)) return false;
  if (!pattern.startsWith('*.')) return name === pattern;
  const dot = name.indexOf('.');
  return dot > 0 && name.slice(dot) === pattern.slice(1);
}

/** RFC 1034 §3.5, lower case. */
function isName(name: string): boolean {
  return (
    name.length <= 253 &&
    name.split('.').every((label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label))
  );
}

const rsaBits: Readonly<Partial<Record<PolicyKeyType, number>>> = {
  'rsa-2048': 2048,
  'rsa-3072': 3072,
  'rsa-4096': 4096,
};
