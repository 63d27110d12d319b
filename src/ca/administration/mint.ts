import type {
  CreateRecoveryRequest,
  CreateRecoveryResponse,
  CreateTokensRequest,
  CreateTokensResponse,
} from '../../gen/sidekey/v1/administration.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { Caller } from '../context.ts';
import { checkProperties, type Properties } from '../tokens/properties.ts';
import type { Role } from '../store/schema.ts';
import { checkedKey } from './idempotency.ts';
import { oneOf } from './search.ts';

/** What makes tokens and their bundles. */
export interface TokenMint {
  /**
   * Mints a batch; bundles come as they are made, some at a time. The same key with the same order
   * goes on with the batch it began, and with another order is refused. Bundles hold private keys:
   * who takes them wipes them.
   */
  mint(order: MintOrder): AsyncIterable<MintedBundles>;
  /** A bundle by which an agent becomes itself again, with new keys. */
  recover(order: RecoveryOrder): Promise<Uint8Array>;
}

export interface MintOrder {
  readonly key: string;
  readonly role: Role;
  readonly properties: Properties;
  readonly lifetimeMs: number;
  readonly count: number;
  /** Uses of each. */
  readonly cap: number;
  /** Absent: chosen by role and properties. */
  readonly policy: string | undefined;
  readonly caller: Caller;
}

export interface MintedBundles {
  readonly batch: Uint8Array;
  readonly bundles: readonly { readonly tokenId: Uint8Array; readonly file: Uint8Array }[];
  /** With these. */
  readonly created: number;
}

export interface RecoveryOrder {
  readonly key: string;
  readonly agent: Uint8Array;
  readonly lifetimeMs: number;
  readonly reason: string;
  readonly caller: Caller;
}

/** Mints what an operator asks for. Throws `ServiceError` (`INVALID_ARGUMENT`) and what minting throws. */
export async function* createTokens(
  mint: TokenMint,
  request: CreateTokensRequest,
  caller: Caller,
): AsyncGenerator<CreateTokensResponse, void> {
  const order = orderOf(request, caller);
  for await (const { batch, bundles, created } of mint.mint(order)) {
    yield {
      bundles: bundles.map(({ tokenId, file }) => ({
        tokenId: Buffer.from(tokenId),
        bundle: viewOf(file),
      })),
      created,
      total: order.count,
      batchId: Buffer.from(batch),
    };
  }
}

/** Makes a recovery bundle. Throws `ServiceError`. */
export async function createRecovery(
  mint: TokenMint,
  request: CreateRecoveryRequest,
  caller: Caller,
): Promise<CreateRecoveryResponse> {
  const reason = request.reason.trim();
  if (reason === '') {
    throw new ServiceError(
      'INVALID_ARGUMENT',
      'reason_missing',
      'an agent is recovered only with a reason, which is audited',
    );
  }
  const bundle = await mint.recover({
    key: checkedKey(request.idempotencyKey),
    agent: request.agentId,
    lifetimeMs: lifetimeMs(request.lifetimeSeconds),
    reason,
    caller,
  });
  return { bundle: viewOf(bundle) };
}

function orderOf(request: CreateTokensRequest, caller: Caller): MintOrder {
  const role = oneOf('role', request.role, mintedRoles);
  if (role === undefined) {
    throw new ServiceError('INVALID_ARGUMENT', 'role_missing', 'role is missing');
  }
  const properties = checkProperties(request.properties);
  if (!properties.ok) {
    throw new ServiceError('INVALID_ARGUMENT', 'properties_invalid', properties.problem);
  }
  if (request.count < 1 || request.count > maxCount) {
    throw new ServiceError(
      'INVALID_ARGUMENT',
      'count_out_of_range',
      `count has to be 1 to ${String(maxCount)}`,
    );
  }
  return {
    key: checkedKey(request.idempotencyKey),
    role,
    properties: properties.value,
    lifetimeMs: lifetimeMs(request.lifetimeSeconds),
    count: request.count,
    cap: request.cap === 0 ? 1 : request.cap,
    policy: request.policy === '' ? undefined : request.policy,
    caller,
  };
}

function lifetimeMs(seconds: bigint): number {
  if (seconds > maxLifetimeSeconds) {
    throw new ServiceError(
      'INVALID_ARGUMENT',
      'lifetime_out_of_range',
      'a token can be used for at most 366 days',
    );
  }
  return seconds === 0n ? defaultLifetimeMs : Number(seconds) * 1000;
}

/** The same memory, so that wiping one wipes both. */
function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Certificates of role `authority` are made by authorities for themselves. */
const mintedRoles = ['manager', 'agent', 'service', 'operator'] as const satisfies readonly Role[];
const maxCount = 100_000;
const defaultLifetimeMs = 86_400_000;
const maxLifetimeSeconds = 366n * 86_400n;
