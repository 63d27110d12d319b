import type { KeyObject } from 'node:crypto';
import { copyOf, wipe } from '../bytes/bytes.ts';
import { Reader, ReadError } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { CertificateError, importPrivateKey } from '../pki/index.ts';
import { StateFileError } from './state-file.ts';

/** What a bootstrap identity has on disk. */
export type BootstrapState =
  | { readonly tag: 'open'; readonly privateKey: KeyObject; readonly certificate: Uint8Array }
  /** The host has enrolled: there is no key any more, and will be none. */
  | { readonly tag: 'shut'; readonly at: Date };

/*
 * struct {
 *   uint8 tag;  -- 1: open, 2: shut
 *   select (tag) {
 *     case open: opaque private_key<0..2^16-1>;  -- PKCS #8, DER
 *                opaque certificate<0..2^24-1>;
 *     case shut: uint64 at_ms;
 *   };
 * } BootstrapState;
 */

/** May hold a private key: for the caller to wipe. */
export function encodeBootstrapState(state: BootstrapState): Uint8Array {
  const writer = new Writer();
  if (state.tag === 'shut') {
    return writer.u8(shutTag).u64(BigInt(state.at.getTime())).finishAndWipe();
  }
  const der = state.privateKey.export({ type: 'pkcs8', format: 'der' });
  try {
    return writer.u8(openTag).vec16(der).vec24(state.certificate).finishAndWipe();
  } finally {
    wipe(der);
  }
}

/** Wipes `body`, which may hold a private key. Throws {@link StateFileError}. */
export function decodeBootstrapState(body: Uint8Array): BootstrapState {
  try {
    const reader = new Reader(body);
    const tag = reader.u8();
    const state = tag === openTag ? readOpen(reader) : readShut(tag, reader);
    reader.end();
    return state;
  } catch (cause) {
    if (!(cause instanceof ReadError || cause instanceof CertificateError)) throw cause;
    throw new StateFileError(`cannot be used: ${cause.message}`, { cause });
  } finally {
    wipe(body);
  }
}

function readOpen(reader: Reader): BootstrapState {
  const privateKey = importPrivateKey(reader.vec16().rest(), 'pkcs8');
  return { tag: 'open', privateKey, certificate: copyOf(reader.vec24().rest()) };
}

function readShut(tag: number, reader: Reader): BootstrapState {
  if (tag !== shutTag) throw new ReadError('unknown state');
  return { tag: 'shut', at: new Date(Number(reader.u64())) };
}

const openTag = 1;
const shutTag = 2;
