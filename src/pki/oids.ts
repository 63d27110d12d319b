import { readWhole } from './der.ts';
import { objectIdentifier } from './der-writer.ts';

/** Certificate and CRL extensions (RFC 5280 §4.2, §5.2, §5.3). */
export const ExtensionOid = {
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  crlNumber: '2.5.29.20',
  reasonCode: '2.5.29.21',
  invalidityDate: '2.5.29.24',
  deltaCrlIndicator: '2.5.29.27',
  issuingDistributionPoint: '2.5.29.28',
  certificateIssuer: '2.5.29.29',
  nameConstraints: '2.5.29.30',
  crlDistributionPoints: '2.5.29.31',
  certificatePolicies: '2.5.29.32',
  policyMappings: '2.5.29.33',
  authorityKeyIdentifier: '2.5.29.35',
  policyConstraints: '2.5.29.36',
  extendedKeyUsage: '2.5.29.37',
  freshestCrl: '2.5.29.46',
  inhibitAnyPolicy: '2.5.29.54',
  authorityInfoAccess: '1.3.6.1.5.5.7.1.1',
  tlsFeature: '1.3.6.1.5.5.7.1.24',
} as const;

/** Extended key usages with a name of their own here (RFC 5280 §4.2.1.12). */
export const ExtendedKeyUsageOid = {
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  codeSigning: '1.3.6.1.5.5.7.3.3',
  emailProtection: '1.3.6.1.5.5.7.3.4',
  timeStamping: '1.3.6.1.5.5.7.3.8',
  ocspSigning: '1.3.6.1.5.5.7.3.9',
  anyExtendedKeyUsage: '2.5.29.37.0',
} as const;

/** Attribute types of distinguished names, by the short names of RFC 4514 §3. */
export const AttributeOid = {
  CN: '2.5.4.3',
  serialNumber: '2.5.4.5',
  C: '2.5.4.6',
  L: '2.5.4.7',
  ST: '2.5.4.8',
  O: '2.5.4.10',
  OU: '2.5.4.11',
  DC: '0.9.2342.19200300.100.1.25',
  emailAddress: '1.2.840.113549.1.9.1',
} as const;

/** The one type of OCSP response there is (RFC 6960 §4.2.1). */
export const BASIC_OCSP_RESPONSE_OID = '1.3.6.1.5.5.7.48.1.1';

/** Makes a response the answer to one request (RFC 9654 §2.1). */
export const OCSP_NONCE_OID = '1.3.6.1.5.5.7.48.1.2';

/** Of a responder's certificate: whether it is revoked need not be asked (RFC 6960 §4.2.2.2.1). */
export const OCSP_NO_CHECK_OID = '1.3.6.1.5.5.7.48.1.5';

/** Requests (RFC 2985 §5.4.2). */
export const EXTENSION_REQUEST_OID = '1.2.840.113549.1.9.14';

/** The key under which `DerReader.objectIdentifier` answers for a dotted identifier. */
export function oidKey(dotted: string): string {
  return readWhole(objectIdentifier(dotted), (reader) => reader.objectIdentifier());
}

/** The dotted form of an identifier's content octets, for messages. */
export function dottedOid(key: string): string {
  const arcs: bigint[] = [];
  let arc = 0n;
  for (const character of key) {
    const byte = character.charCodeAt(0);
    arc = (arc << 7n) | BigInt(byte & 0x7f);
    if (byte < 0x80) {
      arcs.push(arc);
      arc = 0n;
    }
  }
  const [joint = 0n, ...others] = arcs;
  const first = joint < 80n ? joint / 40n : 2n;
  return [first, joint - first * 40n, ...others].join('.');
}
