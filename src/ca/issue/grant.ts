import { toHex } from '../../bytes/bytes.ts';
import type { SigningGeneration } from '../generations/generation.ts';
import { keepUp } from '../generations/keep-up.ts';
import type { RequestedKey } from '../keys/crypto-protocol.ts';
import { KeyManagerError } from '../keys/key-manager.ts';
import type { NamedPolicy } from '../policy/policies.ts';
import { insertRows } from '../store/insert-rows.ts';
import type { NewRow, Role } from '../store/schema.ts';
import type { Transaction } from '../store/transaction.ts';
import { canonicalProperties, type Properties, propertiesDigest } from '../tokens/properties.ts';
import { encodeTokenPayload, signedPart, tokenText } from '../tokens/token.ts';
import { newSerial } from './ids.ts';
import type { Issued } from './issued.ts';
import type { IssuingContext } from './issuing-context.ts';
import { type Leaf, leafValidity } from './leaf-signer.ts';

/** A decision to issue: all that is left is to make it so. */
export interface Grant {
  readonly agentId: Uint8Array;
  readonly spiffeId: string;
  readonly role: Role;
  readonly generation: number;
  readonly properties: Properties;
  readonly active: boolean;
  readonly policy: NamedPolicy;
  readonly dnsNames: readonly string[];
  readonly tls: RequestedKey;
  readonly decryption: RequestedKey | undefined;
  /** The token it uses up. */
  readonly token: Uint8Array;
  /** Which use of the token it is, from 0. */
  readonly slot: number;
  /** Serial number of the TLS certificate this takes the place of. */
  readonly replaces: Uint8Array | undefined;
  readonly request: Uint8Array;
  readonly source: string;
  /** The certificate it follows had ended. */
  readonly late: boolean;
}

/** A grant, made and not yet written. */
export interface Made {
  readonly grant: Grant;
  readonly issued: Issued;
  readonly serial: Uint8Array;
  readonly notAfter: number;
  readonly certificates: readonly NewRow<'certificate'>[];
  readonly token: NewRow<'token'>;
  readonly redemption: NewRow<'redemption'>;
}

/**
 * Makes certificates and renewal tokens for grants, within a transaction: two crossings to the keys,
 * however many there are.
 */
export async function makeGrants(
  context: IssuingContext,
  now: number,
  grants: readonly Grant[],
): Promise<readonly Made[]> {
  if (grants.length === 0) return [];
  await keepUp(context);
  const issuer = context.leaves.issuer('tls');
  const drafts = grants.map((grant) => draft(context, issuer, now, grant));
  const leaves = drafts.flatMap(({ tls, decryption }) =>
    decryption === undefined ? [tls] : [tls, decryption],
  );
  const { signer } = context.tokenKeys.signing();
  const [ders, signatures] = await Promise.all([
    context.leaves.sign(issuer, leaves),
    signer.signAll(drafts.map(({ payload }) => signedPart(payload))),
  ]);
  const chain = context.generations.chainOf(issuer);
  let next = 0;
  return drafts.map((each, index) => {
    const signature = signatures[index];
    const tls = ders[next++];
    const decryption = each.decryption === undefined ? undefined : ders[next++];
    if (signature === undefined || tls === undefined) {
      throw new KeyManagerError('a signature is missing');
    }
    return complete(each, issuer, chain, now, { tls, decryption, signature });
  });
}

/** Writes them; statements go out together. What each costs does not depend on the size of the store. */
export async function writeGrants(transaction: Transaction, made: readonly Made[]): Promise<void> {
  await Promise.all([
    insertRows(
      transaction,
      'certificate',
      made.flatMap(({ certificates }) => certificates),
    ),
    insertRows(
      transaction,
      'token',
      made.map(({ token }) => token),
    ),
    insertRows(
      transaction,
      'redemption',
      made.map(({ redemption }) => redemption),
    ),
  ]);
}

/** The row of the audit log for a grant. */
export function auditGrant(
  transaction: Transaction,
  action: 'enroll' | 'recover' | 'renew',
  actor: string,
  { grant, serial, notAfter }: Made,
): void {
  const { policy } = grant;
  transaction.audit({
    actor,
    action,
    subject: grant.spiffeId,
    outcome: 'done',
    request: toHex(grant.request),
    details: {
      serial: toHex(serial),
      key_hash: toHex(grant.tls.keyHash),
      token: toHex(grant.token),
      policy: `${policy.name}/${String(policy.version)}`,
      generation: grant.generation,
      not_after: new Date(notAfter).toISOString(),
      source: grant.source,
      ...(grant.decryption === undefined ? {} : { decryption: true }),
      ...(grant.late ? { late: true } : {}),
    },
  });
}

interface Draft {
  readonly grant: Grant;
  readonly tls: Leaf;
  readonly decryption: Leaf | undefined;
  readonly tokenRow: NewRow<'token'>;
  readonly payload: Uint8Array;
}

function draft(
  context: IssuingContext,
  issuer: SigningGeneration,
  now: number,
  grant: Grant,
): Draft {
  const { policy } = grant.policy;
  const leaf = (purpose: 'tls' | 'decryption', key: RequestedKey): Leaf => ({
    serial: newSerial(context),
    purpose,
    key,
    ...leafValidity(issuer, now, policy.certificateSeconds),
    uri: grant.spiffeId,
    dnsNames: grant.dnsNames,
  });
  const tls = leaf('tls', grant.tls);
  const { key } = context.tokenKeys.signing();
  const properties = canonicalProperties(grant.properties);
  const content = {
    keyId: key.id,
    id: Uint8Array.from(context.random(16)),
    kind: 'renew',
    expiresAt: tls.notAfter + policy.graceSeconds * 1000,
    role: grant.role,
  } as const;
  return {
    grant,
    tls,
    decryption: grant.decryption && leaf('decryption', grant.decryption),
    payload: encodeTokenPayload({ ...content, propertiesDigest: propertiesDigest(properties) }),
    tokenRow: {
      id: content.id,
      kind: content.kind,
      key_id: content.keyId,
      state: 'active',
      cap: 1,
      uses: 0,
      expires_at: content.expiresAt,
      batch: null,
      role: grant.role,
      policy: grant.policy.name,
      policy_version: grant.policy.version,
      properties,
      agent: grant.agentId,
      generation: grant.generation,
      created_at: now,
      created_by: 'authority',
      revoked_at: null,
      revoked_by: null,
      revoked_why: null,
    },
  };
}

function complete(
  { grant, tls, decryption, payload, tokenRow }: Draft,
  issuer: SigningGeneration,
  chain: readonly Uint8Array[],
  now: number,
  signed: {
    readonly tls: Uint8Array;
    readonly decryption: Uint8Array | undefined;
    readonly signature: Uint8Array;
  },
): Made {
  const row = (leaf: Leaf, key: RequestedKey, der: Uint8Array): NewRow<'certificate'> => ({
    serial: leaf.serial,
    issuer: issuer.id,
    agent: grant.agentId,
    agent_generation: grant.generation,
    role: grant.role,
    purpose: leaf.purpose,
    state: 'issued',
    key_hash: key.keyHash,
    not_before: leaf.notBefore,
    not_after: leaf.notAfter,
    der,
    token: grant.token,
    policy: grant.policy.name,
    policy_version: grant.policy.version,
    replaces: leaf.purpose === 'tls' ? (grant.replaces ?? null) : null,
    issued_at: now,
    confirmed_at: null,
    request: grant.request,
  });
  const certificates = [row(tls, grant.tls, signed.tls)];
  if (
    decryption !== undefined &&
    grant.decryption !== undefined &&
    signed.decryption !== undefined
  ) {
    certificates.push(row(decryption, grant.decryption, signed.decryption));
  }
  return {
    grant,
    serial: tls.serial,
    notAfter: tls.notAfter,
    certificates,
    token: tokenRow,
    redemption: {
      token: grant.token,
      key_hash: grant.tls.keyHash,
      slot: grant.slot,
      agent: grant.agentId,
      serial: tls.serial,
      at: now,
      source: grant.source,
    },
    issued: {
      agentId: grant.agentId,
      spiffeId: grant.spiffeId,
      tlsChain: [signed.tls, ...chain],
      decryptionChain: signed.decryption === undefined ? [] : [signed.decryption, ...chain],
      renewalToken: tokenText(payload, signed.signature),
      generation: grant.generation,
      active: grant.active,
      properties: grant.properties,
      replayed: false,
      late: grant.late,
    },
  };
}
