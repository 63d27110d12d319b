import { hash } from '../../crypto/hash.ts';

/**
 * What the current key of a host signs to renew: see `RenewRequest.proof`. It binds both requests and
 * the token, so no part can be exchanged.
 */
export function renewalContent(
  tlsRequest: Uint8Array,
  decryptionRequest: Uint8Array,
  renewalToken: string,
): Uint8Array {
  return Buffer.concat([
    renewContext,
    hash('sha256', tlsRequest),
    hash('sha256', decryptionRequest),
    hash('sha256', Buffer.from(renewalToken, 'utf8')),
  ]);
}

/** What a new key signs for its first use: see `ConfirmRequest.proof`. */
export function confirmContent(serial: Uint8Array): Uint8Array {
  return Buffer.concat([confirmContext, serial]);
}

const renewContext = Buffer.from('sidekey renew v1\0', 'latin1');
const confirmContext = Buffer.from('sidekey confirm v1\0', 'latin1');
