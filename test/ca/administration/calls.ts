import { connectAuthority, type AuthorityClient } from '../../../src/cli/authority/client.ts';
import type { AdministeredAuthority } from './administered-authority.ts';

/** A client of an authority in this process. */
export function clientOf({ address }: AdministeredAuthority): AuthorityClient {
  return connectAuthority({ kind: 'unix', path: address.slice('unix:'.length) });
}

/** The error's reason, for what has to be refused. */
export async function reasonOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    return String(Reflect.get(error as object, 'reason'));
  }
  return 'nothing: it was allowed';
}

/** Requests with everything absent. */
export const none = Buffer.alloc(0);
