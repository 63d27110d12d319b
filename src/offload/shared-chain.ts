import { copyOf, equal, toHex } from '../bytes/bytes.ts';

/**
 * Certificates as connections keep them. Most connections of a process are with few peers and in few
 * names of its own: equal chains are kept once, in memory of their own.
 */
export function sharedChain(
  fingerprint: Uint8Array,
  certificates: readonly Uint8Array[],
): readonly Uint8Array[] {
  if (certificates.length === 0) return noCertificates;
  const key = toHex(fingerprint);
  const known = chains.get(key);
  if (known !== undefined && sameChain(known, certificates)) return known;
  const chain = certificates.map(copyOf);
  if (chains.size >= maxChains) {
    const [oldest] = chains.keys();
    if (oldest !== undefined) chains.delete(oldest);
  }
  chains.set(key, chain);
  return chain;
}

function sameChain(known: readonly Uint8Array[], certificates: readonly Uint8Array[]): boolean {
  return (
    known.length === certificates.length &&
    known.every((certificate, index) => {
      const other = certificates[index];
      return other !== undefined && equal(certificate, other);
    })
  );
}

const chains = new Map<string, readonly Uint8Array[]>();
const noCertificates: readonly Uint8Array[] = [];
/** About a quarter of a megabyte. */
const maxChains = 256;
