import { Reader } from '../../bytes/reader.ts';
import { Writer } from '../../bytes/writer.ts';
import type { Role, TokenKind } from '../store/schema.ts';

/**
 * What a token says. All of it stands in its row, and Ed25519 signatures are deterministic
 * ({@link https://www.rfc-editor.org/rfc/rfc8032#section-5.1.6 | RFC 8032 §5.1.6}), so the text of a
 * token can be made again at any time and is stored nowhere.
 */
export interface TokenContent {
  /** Of the key that signs it; 8 bytes. */
  readonly keyId: Uint8Array;
  /** 16 random bytes. */
  readonly id: Uint8Array;
  readonly kind: TokenKind;
  /** ms since 1970; may be used before. */
  readonly expiresAt: number;
  /** SHA-256 over the canonical JSON of its properties. */
  readonly propertiesDigest: Uint8Array;
  readonly role: Role;
}

/** A token as received. Whether it is genuine is for {@link signedPart} and its key to say. */
export interface ReceivedToken extends TokenContent {
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
}

/*
 * struct {
 *   uint8 version = 1;  opaque key_id[8];  opaque token_id[16];  uint8 kind;
 *   uint64 expires_ms;  opaque properties_sha256[32];  uint8 role;
 * } Payload;
 */
export function encodeTokenPayload(content: TokenContent): Uint8Array {
  const writer = new Writer()
    .u8(VERSION)
    .bytes(sized(content.keyId, KEY_ID))
    .bytes(sized(content.id, TOKEN_ID))
    .u8(kinds.indexOf(content.kind))
    .u64(BigInt(content.expiresAt))
    .bytes(sized(content.propertiesDigest, DIGEST))
    .u8(roles.indexOf(content.role));
  return writer.finish();
}

/** What the signature of a token is over. */
export function signedPart(payload: Uint8Array): Uint8Array {
  return Buffer.concat([context, payload]);
}

/** `sk1.` payload `.` signature, both base64url without padding. */
export function tokenText(payload: Uint8Array, signature: Uint8Array): string {
  return `${PREFIX}${base64url(payload)}.${base64url(sized(signature, SIGNATURE))}`;
}

/** Takes a token apart; `undefined` for what is not the one text of a token. Verifies nothing. */
export function parseToken(text: string): ReceivedToken | undefined {
  if (text.length !== TEXT_LENGTH || !text.startsWith(PREFIX)) return undefined;
  const separator = PREFIX.length + PAYLOAD_TEXT;
  if (text[separator] !== '.') return undefined;
  const payload = exactBase64url(text.slice(PREFIX.length, separator));
  const signature = exactBase64url(text.slice(separator + 1));
  if (payload === undefined || signature === undefined) return undefined;
  const reader = new Reader(payload);
  if (reader.u8() !== VERSION) return undefined;
  const keyId = reader.take(KEY_ID);
  const id = reader.take(TOKEN_ID);
  const kind = kinds[reader.u8()];
  const expiresAt = reader.u64();
  const propertiesDigest = reader.take(DIGEST);
  const role = roles[reader.u8()];
  if (kind === undefined || role === undefined || expiresAt > MAX_MOMENT) return undefined;
  return {
    keyId,
    id,
    kind,
    expiresAt: Number(expiresAt),
    propertiesDigest,
    role,
    payload,
    signature,
  };
}

/** Base64 decoders forgive much; a token has one text only. */
function exactBase64url(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url');
}

function sized(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length !== length)
    throw new RangeError(`a field of a token has ${String(length)} bytes`);
  return bytes;
}

const VERSION = 1;
const KEY_ID = 8;
const TOKEN_ID = 16;
const DIGEST = 32;
const SIGNATURE = 64;
const PREFIX = 'sk1.';
const PAYLOAD_BYTES = 1 + KEY_ID + TOKEN_ID + 1 + 8 + DIGEST + 1;
const PAYLOAD_TEXT = Math.ceil((PAYLOAD_BYTES * 4) / 3);
const TEXT_LENGTH = PREFIX.length + PAYLOAD_TEXT + 1 + Math.ceil((SIGNATURE * 4) / 3);
const MAX_MOMENT = 8_640_000_000_000_000n;

const context = Buffer.from('sidekey token v1\0', 'latin1');
/** By number on the wire; only appended to. */
const kinds: readonly TokenKind[] = ['enroll', 'renew', 'recover'];
const roles: readonly Role[] = ['authority', 'manager', 'agent', 'service', 'operator'];
