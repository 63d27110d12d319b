import { verifySignature } from '../../crypto/signatures.ts';
import type { Certificate } from '../../pki/index.ts';
import { defaultScheme } from '../../pki/signature-algorithm.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { AuthorityContext } from '../context.ts';
import { crashPoint } from '../crash-points.ts';
import { crossCertify, makeCaCertificate } from '../generations/ca-certificate.ts';
import type { Generation } from '../generations/generation.ts';
import { type AuthorityKeyType, KeyManagerError, type SigningKey } from '../keys/key-manager.ts';
import type { CaKind } from '../store/schema.ts';
import type { Making, Plan } from './plan.ts';
import type { RotationSettings } from './settings.ts';

/** A generation with its key, made but in no store yet. */
export interface MadeGeneration extends Generation {
  readonly key: SigningKey;
}

/**
 * Makes what a plan asks for: keys in the key manager, certificates, and for a root the cross
 * certificates both ways. If one cannot be made, none is left behind.
 *
 * Rejects with `ServiceError` (`FAILED_PRECONDITION`, `key_unusable`).
 */
export async function makeGenerations(
  context: AuthorityContext,
  settings: RotationSettings,
  plan: Plan<Generation>,
): Promise<readonly MadeGeneration[]> {
  const made: MadeGeneration[] = [];
  try {
    for (const making of plan.make) made.push(await makeOne(context, settings, plan, making, made));
    return made;
  } catch (error) {
    await discard(context, made);
    if (!(error instanceof KeyManagerError)) throw error;
    throw unusable(error.message, error);
  }
}

/** Destroys the keys of generations that came to nothing. */
export async function discard(
  context: AuthorityContext,
  made: readonly MadeGeneration[],
): Promise<void> {
  for (const { kind, number, keyRef } of made) {
    await context.keys.destroy(keyRef).catch((error: unknown) => {
      context.log.warn({ err: error, kind, number, keyRef }, 'unused key could not be destroyed');
    });
  }
}

/** Opens the key of a generation and has it sign on trial. Rejects with {@link KeyManagerError}. */
export async function tryKey(
  context: AuthorityContext,
  generation: Generation,
): Promise<SigningKey> {
  const key = await context.generations.keyOf(generation);
  const scheme = defaultScheme(key.type);
  const trial = context.random(32);
  const [signature] = await key.signAll([trial]);
  const { publicKey } = generation.certificate;
  if (signature !== undefined && verifySignature(publicKey, scheme, trial, signature)) return key;
  throw new KeyManagerError(`${generation.keyRef} is not the key of its certificate`);
}

/** A `ServiceError` for a key that does not do what a step needs it for. */
export function unusable(message: string, cause?: unknown): ServiceError {
  const error = new ServiceError('FAILED_PRECONDITION', 'key_unusable', message);
  if (cause !== undefined) error.cause = cause;
  return error;
}

async function makeOne(
  context: AuthorityContext,
  settings: RotationSettings,
  plan: Plan<Generation>,
  making: Making,
  made: readonly MadeGeneration[],
): Promise<MadeGeneration> {
  const { kind, number, state } = making;
  const before = signingOf(context.generations.all(), kind);
  const parent = kind === 'issuing' ? await parentOf(context, plan, made) : undefined;
  const { ref } = await context.keys.generate(
    settings.keyTypes[kind] ?? keyTypeOf(before.certificate),
  );
  crashPoint('rotate.after_key');
  try {
    const key = await context.keys.open(ref);
    const now = context.now().getTime();
    const certificate = await makeCaCertificate({
      kind,
      number,
      trustDomain: context.trustDomain,
      key,
      signer: parent ?? { key },
      serialNumber: serialNumber(context),
      notBefore: new Date(now - BACKDATE_MS),
      notAfter: new Date(now + settings.lifetimesMs[kind]),
    });
    const cross = kind === 'root' ? await crossBoth(context, { certificate, key }, before) : [];
    return {
      id: context.random(16),
      kind,
      number,
      state,
      stateVersion: 1,
      publishedIn: undefined,
      parent: parent?.id,
      certificate,
      crossCertificate: cross[0],
      oldWithNew: cross[1],
      keyRef: ref,
      key,
    };
  } catch (error) {
    await context.keys.destroy(ref);
    throw error;
  }
}

/** The root an issuing CA is made below: the one that will sign when the plan is done. */
async function parentOf(
  context: AuthorityContext,
  plan: Plan<Generation>,
  made: readonly MadeGeneration[],
): Promise<MadeGeneration> {
  const madeRoot = made.find(({ kind }) => kind === 'root');
  if (madeRoot !== undefined) return madeRoot;
  const coming = plan.moves.find(({ generation, to }) => {
    return generation.kind === 'root' && to === 'signing';
  });
  const root = coming?.generation ?? signingOf(context.generations.all(), 'root');
  return { ...root, key: await context.generations.keyOf(root) };
}

/** The new root by the old and the old by the new. */
async function crossBoth(
  context: AuthorityContext,
  fresh: Pick<MadeGeneration, 'certificate' | 'key'>,
  before: Generation,
): Promise<readonly [newWithOld: Uint8Array, oldWithNew: Uint8Array]> {
  const old = { certificate: before.certificate, key: await context.generations.keyOf(before) };
  const newWithOld = await crossCertify(fresh.certificate, old, serialNumber(context));
  const oldWithNew = await crossCertify(old.certificate, fresh, serialNumber(context));
  return [newWithOld.der, oldWithNew.der];
}

function signingOf(generations: readonly Generation[], kind: CaKind): Generation {
  const found = generations.find((each) => each.kind === kind && each.state === 'signing');
  if (found !== undefined) return found;
  throw new ServiceError('FAILED_PRECONDITION', 'wrong_state', `no ${kind} generation signs`);
}

function keyTypeOf({ keyKind }: Certificate): AuthorityKeyType {
  return keyKind === 'ecdsa-p384' || keyKind === 'ed25519' ? keyKind : 'ecdsa-p256';
}

/** As of all that this authority certifies: the store's epoch, then 96 random bits. */
function serialNumber({ epoch, random }: AuthorityContext): Uint8Array {
  return Buffer.concat([Buffer.from(epoch, 'hex'), random(12)]);
}

/** For hosts whose clocks are behind. */
const BACKDATE_MS = 5 * 60_000;
