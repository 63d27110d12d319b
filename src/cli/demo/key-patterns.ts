import type { KeyObject } from 'node:crypto';
import { exportPkcs8Pem } from '../../pki/index.ts';
import type { Pattern } from './memory-search.ts';

/**
 * The forms in which a P-256 private key could lie in a process's memory: the scalar as it is
 * written, the scalar as OpenSSL computes with it (least significant byte first), the key file's
 * DER, and the line of its PEM text that is all secret.
 */
export function keyPatterns(owner: string, key: KeyObject): readonly Pattern[] {
  // ECPrivateKey (RFC 5915 §3): SEQUENCE, version 1, OCTET STRING of 32 bytes.
  const sec1 = key.export({ format: 'der', type: 'sec1' });
  if (sec1.readUInt16BE(5) !== 0x0420) throw new TypeError('not a P-256 private key');
  const scalar = Buffer.from(sec1.subarray(7, 39));
  const pemLine = Buffer.from(exportPkcs8Pem(key)).toString('latin1').split('\n')[2] ?? '';
  return [
    { name: `${owner}, as written`, bytes: scalar },
    { name: `${owner}, as OpenSSL computes with it`, bytes: Buffer.from(scalar).reverse() },
    { name: `${owner}, key file in DER`, bytes: key.export({ format: 'der', type: 'pkcs8' }) },
    { name: `${owner}, key file in PEM`, bytes: Buffer.from(pemLine, 'latin1') },
  ];
}
