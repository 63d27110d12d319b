import type { AuthorityKeyType, KeyManager, SigningKey } from './key-manager.ts';

/** A key manager that makes only some kinds of keys, and recognises its own. */
export interface PartialKeys {
  readonly keys: KeyManager;
  readonly supports: (type: AuthorityKeyType) => boolean;
  readonly owns: (ref: string) => boolean;
}

/**
 * Keys in one key manager where it can have them, and in another where not: many tokens make no Ed25519
 * keys, which tokens of an authority are signed with; CA keys still stay on them. Closes both.
 */
export function splitKeys(preferred: PartialKeys, otherwise: KeyManager): KeyManager {
  const of = (ref: string) => (preferred.owns(ref) ? preferred.keys : otherwise);
  return {
    kind: `${preferred.keys.kind}, ${otherwise.kind}`,
    generate: (type) =>
      preferred.supports(type) ? preferred.keys.generate(type) : otherwise.generate(type),
    open: (ref): Promise<SigningKey> => of(ref).open(ref),
    destroy: (ref) => of(ref).destroy(ref),
    close: async () => {
      await Promise.all([preferred.keys.close(), otherwise.close()]);
    },
  };
}
