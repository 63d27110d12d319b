/** Types of content (RFC 5652 §4, §5.1, §6.1; RFC 5083 §2). */
export const ContentTypeOid = {
  data: '1.2.840.113549.1.7.1',
  signedData: '1.2.840.113549.1.7.2',
  envelopedData: '1.2.840.113549.1.7.3',
  authEnvelopedData: '1.2.840.113549.1.9.16.1.23',
} as const;

/** Signed attributes (RFC 5652 §11). */
export const SignedAttributeOid = {
  contentType: '1.2.840.113549.1.9.3',
  messageDigest: '1.2.840.113549.1.9.4',
  signingTime: '1.2.840.113549.1.9.5',
} as const;

/** Hashes (RFC 5754 §2). */
export const DigestOid = {
  sha256: '2.16.840.1.101.3.4.2.1',
  sha384: '2.16.840.1.101.3.4.2.2',
  sha512: '2.16.840.1.101.3.4.2.3',
} as const;

/** Ways to encrypt content (RFC 3565 §4.1, RFC 5084 §3.2). */
export const ContentEncryptionOid = {
  'aes-256-cbc': '2.16.840.1.101.3.4.1.42',
  'aes-256-gcm': '2.16.840.1.101.3.4.1.46',
} as const;

/** dhSinglePass-stdDH-sha256kdf-scheme (RFC 5753 §7.1.4). */
export const ECDH_SHA256_KDF_OID = '1.3.132.1.11.1';

/** id-aes256-wrap (RFC 3565 §4.2). */
export const AES256_WRAP_OID = '2.16.840.1.101.3.4.1.45';

/** id-RSAES-OAEP and its mask generation (RFC 4055 §4). */
export const RSAES_OAEP_OID = '1.2.840.113549.1.1.7';
export const MGF1_OID = '1.2.840.113549.1.1.8';

/** id-ecPublicKey and P-256 (RFC 5480 §2.1.1). */
export const EC_PUBLIC_KEY_OID = '1.2.840.10045.2.1';
export const P256_OID = '1.2.840.10045.3.1.7';
