import { once } from 'node:events';
import { importPrivateKey } from '../../src/pki/index.ts';
import type { EnrolmentBundle } from '../../src/identity/enrolment-bundle.ts';
import { makeRequests, openLink } from './simulated-hosts.ts';

/** Sends enrolments with tokens nobody signed until told to stop; then says how many per second. */
interface Order extends Pick<EnrolmentBundle, 'addresses' | 'trustDomain' | 'roots' | 'token'> {
  readonly key: Uint8Array;
  readonly chain: readonly Uint8Array[];
}

const [order] = (await once(process, 'message')) as [Order];
const bundle: EnrolmentBundle = {
  ...order,
  role: 'service',
  options: {},
  notAfter: new Date(),
  credential: { privateKey: importPrivateKey(order.key, 'pkcs8'), chain: order.chain },
};
const { requests } = makeRequests();
// The signature is what follows the last dot; this one is of the right length and wrong.
const at = order.token.lastIndexOf('.') + 1;
const wrong = Buffer.from(order.token.slice(at), 'base64url').fill(7).toString('base64url');
const token = order.token.slice(0, at) + wrong;
const links = Array.from({ length: 4 }, () => openLink(bundle));
let sent = 0;
let stopped = false;
const began = performance.now();
const senders = links.flatMap((link) =>
  Array.from({ length: 64 }, async () => {
    while (!stopped) {
      await link
        .enroll({
          token,
          tlsRequest: requests.tls,
          decryptionRequest: requests.decryption,
          report: undefined,
        })
        .catch(() => undefined);
      sent += 1;
      if (sent === 1000) process.send?.('running');
    }
  }),
);
await once(process, 'message');
stopped = true;
await Promise.all(senders);
process.send?.(sent / ((performance.now() - began) / 1000));
