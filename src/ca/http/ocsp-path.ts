/**
 * Reads the request out of the path of a GET: base64 of its DER, percent-encoded
 * ({@link https://www.rfc-editor.org/rfc/rfc6960#appendix-A.1 | RFC 6960 appendix A.1}). Slashes of base64
 * may stand unencoded, as many clients send them. `undefined` for anything else.
 */
export function decodeOcspPath(encoded: string): Uint8Array | undefined {
  const base64 = decodePercent(encoded);
  if (base64 === undefined || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return undefined;
  return Buffer.from(base64, 'base64');
}

function decodePercent(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}
