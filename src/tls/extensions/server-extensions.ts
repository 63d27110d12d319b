import { ExtensionType } from '../registries.ts';
import { applicationProtocol } from './application-layer-protocol-negotiation.ts';
import { ecPointFormats } from './ec-point-formats.ts';
import { emptyExtension } from './empty-extension.ts';
import { extendedMasterSecret } from './extended-master-secret.ts';
import type { ExtensionTable } from './extension-table.ts';
import { row } from './extension-table.ts';
import { renegotiationInfo } from './renegotiation-info.ts';
import { selectedVersion } from './supported-versions.ts';

/** What a ServerHello may say in extensions, one field per extension. */
export interface ServerExtensions {
  /** The name was used (RFC 6066 §3). */
  readonly serverName: boolean;
  /** A CertificateStatus may follow (RFC 6066 §8). */
  readonly statusRequest: boolean;
  /** Contains 0. */
  readonly ecPointFormats?: readonly number[] | undefined;
  /** One character per byte of the name. */
  readonly applicationProtocol?: string | undefined;
  readonly extendedMasterSecret: boolean;
  /** A NewSessionTicket will follow (RFC 5077 §3.2). */
  readonly sessionTicket: boolean;
  /** `renegotiated_connection`: empty in an initial handshake. */
  readonly renegotiationInfo?: Uint8Array | undefined;
  readonly supportedVersion?: number | undefined;
}

export const noServerExtensions: ServerExtensions = {
  serverName: false,
  statusRequest: false,
  extendedMasterSecret: false,
  sessionTicket: false,
};

export const serverExtensions: ExtensionTable<ServerExtensions> = [
  row(ExtensionType.renegotiation_info, 'renegotiationInfo', renegotiationInfo),
  row(ExtensionType.server_name, 'serverName', emptyExtension),
  row(ExtensionType.ec_point_formats, 'ecPointFormats', ecPointFormats),
  row(ExtensionType.session_ticket, 'sessionTicket', emptyExtension),
  row(ExtensionType.status_request, 'statusRequest', emptyExtension),
  row(
    ExtensionType.application_layer_protocol_negotiation,
    'applicationProtocol',
    applicationProtocol,
  ),
  row(ExtensionType.extended_master_secret, 'extendedMasterSecret', extendedMasterSecret),
  row(ExtensionType.supported_versions, 'supportedVersion', selectedVersion),
];
