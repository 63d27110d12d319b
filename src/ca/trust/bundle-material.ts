import { equal } from '../../bytes/bytes.ts';
import type { Generation } from '../generations/generation.ts';
import type { SigningKey } from '../keys/key-manager.ts';
import type { CaState } from '../store/schema.ts';
import { readBundle, type StoredBundle } from './bundle-document.ts';
import type { BundleMaterial, BundleSigner } from './publish-bundle.ts';

/** Where {@link gatherBundle} gets its parts. */
export interface BundleSources {
  readonly trustDomain: string;
  readonly epoch: string;
  readonly addresses: readonly string[];
  /** All generations, as they are after the change that calls for a new bundle. */
  readonly generations: readonly Generation[];
  readonly keyOf: (generation: Generation) => Promise<SigningKey>;
  /** The version before; absent: this is the first. */
  readonly previous: StoredBundle | undefined;
  readonly by: string;
}

/** Whether a generation in this state is in the trust bundle, if of a kind that can be. */
export function isInBundle(state: CaState): boolean {
  return inBundle.has(state);
}

/**
 * Gathers a bundle of all generations that hosts have to accept: what signs, what is about to, and
 * what still has living certificates. Signers are the roots of it and those of the version before,
 * as far as they still have a key. Rejects as `keyOf` does.
 */
export async function gatherBundle(sources: BundleSources): Promise<BundleMaterial> {
  const { generations, previous } = sources;
  const included = generations.filter(({ state }) => isInBundle(state));
  const roots = included.filter(({ kind }) => kind === 'root');
  const issuing = included.filter(({ kind }) => kind === 'issuing');
  const before = previous === undefined ? [] : readBundle(previous.document).roots;
  const former = generations.filter(
    (generation) =>
      generation.kind === 'root' &&
      generation.state !== 'destroyed' &&
      !roots.includes(generation) &&
      before.some((der) => equal(der, generation.certificate.der)),
  );
  return {
    trustDomain: sources.trustDomain,
    epoch: sources.epoch,
    addresses: sources.addresses,
    by: sources.by,
    roots: roots.map(({ certificate }) => certificate),
    intermediates: [
      ...issuing.map(({ certificate }) => certificate.der),
      ...roots.flatMap(({ crossCertificate, oldWithNew }) =>
        [crossCertificate, oldWithNew].filter((der) => der !== undefined),
      ),
    ],
    signers: await Promise.all(
      [...roots, ...former].map(async (generation): Promise<BundleSigner> => {
        return { certificate: generation.certificate, key: await sources.keyOf(generation) };
      }),
    ),
  };
}

const inBundle: ReadonlySet<CaState> = new Set(['published', 'signing', 'draining', 'tainted']);
