import type { WorkloadServiceServer } from '../gen/sidekey/v1/workload.ts';
import { signConfiguration } from './configuration-signing.ts';
import type { MessageServices } from './message-call.ts';
import { verifySigner } from './signer-judgement.ts';
import type { Signer } from './signer.ts';
import { unwrapKey } from './unwrapping.ts';

/** The calls about messages that are signed or encrypted, apart from handshakes. */
export function messageCalls(
  services: MessageServices & {
    readonly signer: Signer;
    readonly newUnwrapId: () => string;
  },
): Pick<WorkloadServiceServer, 'signConfiguration' | 'verifySigner' | 'unwrapKey'> {
  return {
    signConfiguration: signConfiguration(services),
    verifySigner: verifySigner(services),
    unwrapKey: unwrapKey(services),
  };
}
