import { parsing } from './parsing.ts';

// struct { } ServerHelloDone;

/** Refuses a ServerHelloDone with a body, {@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.5 | RFC 5246 §7.4.5}. */
export function parseServerHelloDone(body: Uint8Array): void {
  parsing('ServerHelloDone', body, () => undefined);
}

/** The (empty) body of a ServerHelloDone. */
export function encodeServerHelloDone(): Uint8Array {
  return new Uint8Array(0);
}
