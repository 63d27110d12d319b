import { toHex } from '../../bytes/bytes.ts';
import type { Distribution } from '../../pki/index.ts';

/** Paths of what is served over HTTP. */
export const paths = {
  crl: (issuer: Uint8Array): string => `/crl/${toHex(issuer)}.crl`,
  deltaCrl: (issuer: Uint8Array): string => `/crl/${toHex(issuer)}-delta.crl`,
  certificate: (issuer: Uint8Array): string => `/ca/${toHex(issuer)}.cer`,
  ocsp: '/ocsp',
  roots: '/roots.pem',
  bundle: '/bundle',
} as const;

/**
 * What certificates of an issuer say of where their state can be asked for.
 *
 * @param publicUrl `http://HOST[:PORT][/PREFIX]`, as clients reach the server
 */
export function distributionAt(
  publicUrl: string,
  issuer: { readonly id: Uint8Array },
): Required<Distribution> {
  const base = publicUrl.replace(/\/+$/, '');
  return {
    crlUrl: base + paths.crl(issuer.id),
    freshestCrlUrl: base + paths.deltaCrl(issuer.id),
    ocspUrl: base + paths.ocsp,
    issuerUrl: base + paths.certificate(issuer.id),
  };
}
