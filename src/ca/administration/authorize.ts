import { ServiceError } from '../../rpc/errors.ts';
import { parseSpiffeId } from '../../pki/index.ts';
import type { Caller } from '../context.ts';

/**
 * Whoever runs the authority may do everything, over the unix socket: its uid, and root, which
 * could read the keys anyway.
 *
 * @param uid of the process at the other end; absent: the platform cannot tell, so nobody is let in
 * @throws ServiceError `PERMISSION_DENIED`
 */
export function authorizeOwner(uid: number | undefined, ownUid: number): Caller {
  if (uid === undefined || (uid !== ownUid && uid !== 0)) {
    throw new ServiceError(
      'PERMISSION_DENIED',
      'not_the_owner',
      'only the user that runs the authority may administer it here',
    );
  }
  return { name: uid === ownUid ? 'owner' : 'root', source: 'unix' };
}

/**
 * Over TCP, certificates of role `operator`.
 *
 * @param spiffeId proven in the handshake, of a certificate that is neither revoked nor enrol-only
 * @throws ServiceError `PERMISSION_DENIED`
 */
export function authorizeOperator(
  spiffeId: string | undefined,
  trustDomain: string,
  source: string,
): Caller {
  const id = spiffeId === undefined ? undefined : parseSpiffeId(spiffeId);
  if (id?.trustDomain !== trustDomain || !id.path.startsWith('/operator/')) {
    throw new ServiceError(
      'PERMISSION_DENIED',
      'not_an_operator',
      'administration needs a certificate of role operator',
    );
  }
  return { name: id.text, source };
}
