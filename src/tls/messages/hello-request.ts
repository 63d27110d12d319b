import { parsing } from './parsing.ts';

// struct { } HelloRequest;

/** Refuses a HelloRequest with a body, {@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.1 | RFC 5246 §7.4.1.1}. */
export function parseHelloRequest(body: Uint8Array): void {
  parsing('HelloRequest', body, () => undefined);
}

/** The (empty) body of a HelloRequest. */
export function encodeHelloRequest(): Uint8Array {
  return new Uint8Array(0);
}
