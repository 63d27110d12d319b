import { startAuthorityHttp } from '../../ca/http/index.ts';
import type { Authority } from '../../ca/index.ts';
import { OcspResponder } from '../../ca/revocation/ocsp-responder.ts';
import { formatAddress, type ListenAddress } from '../../rpc/address.ts';

/** What everybody may get of an authority, being served. */
export interface Publication {
  readonly address: string;
  close(): Promise<void>;
}

/** Serves CRLs, OCSP, CA certificates and the trust bundle. Rejects with `ListenError`. */
export async function startPublication(
  address: ListenAddress,
  { context, trust, crls }: Authority,
): Promise<Publication> {
  const { feed } = trust;
  const responder = new OcspResponder({ context, feed });
  try {
    const http = await startAuthorityHttp({
      address,
      crls,
      generations: () => context.generations.all(),
      bundle: () => feed.bundle,
      respond: (request) => responder.respond(request),
      now: context.now,
      log: context.log,
    });
    return {
      address: formatAddress(http.address),
      close: async () => {
        await http.close();
        http.destroy();
        responder.close();
      },
    };
  } catch (error) {
    responder.close();
    throw error;
  }
}
