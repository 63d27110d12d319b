/** The suites both sides have. */
export const suites = [
  suite('ECDSA', 'AES_128_GCM_SHA256', 'AES128-GCM-SHA256'),
  suite('ECDSA', 'AES_256_GCM_SHA384', 'AES256-GCM-SHA384'),
  suite('ECDSA', 'CHACHA20_POLY1305_SHA256', 'CHACHA20-POLY1305'),
  suite('RSA', 'AES_128_GCM_SHA256', 'AES128-GCM-SHA256'),
  suite('RSA', 'AES_256_GCM_SHA384', 'AES256-GCM-SHA384'),
  suite('RSA', 'CHACHA20_POLY1305_SHA256', 'CHACHA20-POLY1305'),
];

export interface Suite {
  readonly authentication: 'ECDSA' | 'RSA';
  readonly iana: string;
  readonly openssl: string;
}

/**
 * The IANA name of a suite, however the peer spells it (`ECDHE-RSA-AES128-GCM-SHA256`,
 * `ECDHE_RSA_AES_128_GCM`, ...); other names are given back as they are.
 */
export function ianaSuite(name: string): string {
  const wanted = bare(name);
  return suites.find(({ iana }) => bare(iana).startsWith(wanted))?.iana ?? name;
}

function bare(name: string): string {
  return name
    .toUpperCase()
    .replaceAll(/[^A-Z0-9]/g, '')
    .replace(/^TLS/, '')
    .replace('WITH', '');
}

function suite(authentication: 'ECDSA' | 'RSA', iana: string, openssl: string): Suite {
  return {
    authentication,
    iana: `TLS_ECDHE_${authentication}_WITH_${iana}`,
    openssl: `ECDHE-${authentication}-${openssl}`,
  };
}
