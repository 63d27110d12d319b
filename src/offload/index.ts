/**
 * The public API of the package: TLS sockets whose handshakes a sidecar runs, in the manner of
 * `node:tls`.
 */
export { connect, createServer, wrap } from './default-offload.ts';
export { createOffload, type Offload } from './offload.ts';
export type { OffloadLimits, OffloadOptions, OffloadTimeouts } from './settings.ts';
export type { ClientOptions, ConnectOptions, TcpOptions } from './connect.ts';
export type { ServerHandshakeOptions, ServerOptions } from './server.ts';
export { OffloadServer } from './server.ts';
export type { WrapOptions } from './wrap.ts';
export { OffloadSocket } from './offload-socket.ts';
export type { KeyingMaterialRequest } from './session.ts';
export {
  OffloadError,
  OffloadErrorCode,
  type OffloadErrorDetails,
  type OffloadPhase,
} from './errors.ts';
export type {
  BootstrapStatus,
  EnrolmentStatus,
  IdentityList,
  IdentityStatus,
} from './identity-status.ts';
export type { Enrolment } from './identity-upkeep.ts';
export type {
  ConfigurationSignature,
  ConfigurationToSign,
  SignerToVerify,
  UnwrappedKey,
  WrappedKey,
} from './message-calls.ts';
export type { PublicKeyHash } from './public-key-hash.ts';
export { parseSidekeyId, type SidekeyId, type SidekeyRole } from './sidekey-id.ts';
export type {
  EnrollOptions,
  IdentityChoice,
  MessageIdentity,
  Workload,
  WorkloadCallOptions,
} from './workload-client.ts';
export { type HttpsAgentOptions, OffloadHttpsAgent } from './https-agent.ts';
export type { HttpServerOptions } from './http-server.ts';
export type { Http2ConnectOptions, Http2RequestListener, Http2ServerOptions } from './http2.ts';
export type {
  UndiciConnectCallback,
  UndiciConnector,
  UndiciConnectorOptions,
  UndiciConnectRequest,
} from './undici-connector.ts';
export { serveConnection } from './take-over.ts';
