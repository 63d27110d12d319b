import { ExtensionType } from '../registries.ts';
import { applicationProtocols } from './application-layer-protocol-negotiation.ts';
import { ecPointFormats } from './ec-point-formats.ts';
import { extendedMasterSecret } from './extended-master-secret.ts';
import type { ExtensionTable } from './extension-table.ts';
import { presentTypes, row } from './extension-table.ts';
import { padding } from './padding.ts';
import { renegotiationInfo } from './renegotiation-info.ts';
import { serverName } from './server-name.ts';
import { offeredTicket } from './session-ticket.ts';
import { signatureAlgorithms } from './signature-algorithms.ts';
import type { CertificateStatusRequest } from './status-request.ts';
import { statusRequest } from './status-request.ts';
import { supportedGroups } from './supported-groups.ts';
import { supportedVersions } from './supported-versions.ts';

/** What a ClientHello may say in extensions, one field per extension. */
export interface ClientExtensions {
  /** Lower case, no trailing dot; never an address. */
  readonly serverName?: string | undefined;
  readonly statusRequest?: CertificateStatusRequest | undefined;
  /** Not empty. */
  readonly supportedGroups?: readonly number[] | undefined;
  /** Contains 0. */
  readonly ecPointFormats?: readonly number[] | undefined;
  /** Not empty. */
  readonly signatureAlgorithms?: readonly number[] | undefined;
  /** Not empty; one character per byte of the name. */
  readonly applicationProtocols?: readonly string[] | undefined;
  readonly extendedMasterSecret: boolean;
  /** Empty: asks for one. */
  readonly sessionTicket?: Uint8Array | undefined;
  /** Not empty. */
  readonly supportedVersions?: readonly number[] | undefined;
  /** Not empty. */
  readonly signatureAlgorithmsCert?: readonly number[] | undefined;
  /** `renegotiated_connection`: empty in an initial handshake. */
  readonly renegotiationInfo?: Uint8Array | undefined;
  /** Bytes of padding. */
  readonly padding?: number | undefined;
}

export const noClientExtensions: ClientExtensions = { extendedMasterSecret: false };

/** Types that {@link ClientExtensions} stand for when sent: what the server may answer. */
export function clientExtensionTypes(extensions: ClientExtensions): readonly number[] {
  return presentTypes(clientExtensions, extensions);
}

/** Padding goes last; so would the pre_shared_key of TLS 1.3, which must (RFC 8446 §4.2.11). */
export const clientExtensions: ExtensionTable<ClientExtensions> = [
  row(ExtensionType.server_name, 'serverName', serverName),
  row(ExtensionType.extended_master_secret, 'extendedMasterSecret', extendedMasterSecret),
  row(ExtensionType.renegotiation_info, 'renegotiationInfo', renegotiationInfo),
  row(ExtensionType.supported_groups, 'supportedGroups', supportedGroups),
  row(ExtensionType.ec_point_formats, 'ecPointFormats', ecPointFormats),
  row(ExtensionType.session_ticket, 'sessionTicket', offeredTicket),
  row(
    ExtensionType.application_layer_protocol_negotiation,
    'applicationProtocols',
    applicationProtocols,
  ),
  row(ExtensionType.status_request, 'statusRequest', statusRequest),
  row(ExtensionType.signature_algorithms, 'signatureAlgorithms', signatureAlgorithms),
  row(ExtensionType.signature_algorithms_cert, 'signatureAlgorithmsCert', signatureAlgorithms),
  row(ExtensionType.supported_versions, 'supportedVersions', supportedVersions),
  row(ExtensionType.padding, 'padding', padding),
];
