import type { Target } from '../target.ts';
import { applicationRecords } from './application-records.ts';
import { certificateRequests, certificates, crls, der, ocspResponses } from './certificates.ts';
import { recipientInfos, sealedMessages, signedMessages } from './cms.ts';
import { configuration, pem, pkcs12 } from './files.ts';
import { flights } from './flights.ts';
import { extensions, handshakeMessages, tickets } from './handshake-messages.ts';
import { keyedHandshakes } from './keyed-handshakes.ts';
import { ocspRequests } from './ocsp-requests.ts';
import { records } from './records.ts';
import { grpcFrames, sidecarRequests, sidecarResponses } from './sidecar-messages.ts';

/** Everything that reads bytes of others. */
export const targets: readonly Target[] = [
  records,
  handshakeMessages,
  extensions,
  tickets,
  flights,
  keyedHandshakes,
  applicationRecords,
  der,
  certificates,
  crls,
  ocspResponses,
  ocspRequests,
  certificateRequests,
  pem,
  pkcs12,
  signedMessages,
  sealedMessages,
  recipientInfos,
  configuration,
  sidecarRequests,
  sidecarResponses,
  grpcFrames,
];
