/** Kinds of keys that can be made, by the names commands and status messages use. */
export const keyTypes = {
  'ecdsa-p256': { kind: 'ecdsa-p256' },
  'ecdsa-p384': { kind: 'ecdsa-p384' },
  ed25519: { kind: 'ed25519' },
  'rsa-2048': { kind: 'rsa', modulusBits: 2048 },
  'rsa-3072': { kind: 'rsa', modulusBits: 3072 },
} as const;

export type KeyType = keyof typeof keyTypes;
