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
export type { RevokedPeer } from './live-peers.ts';
export type { PublicKeyHash } from './public-key-hash.ts';
export { parseSidekeyId, type SidekeyId, type SidekeyRole } from './sidekey-id.ts';
export type {
  EnrollOptions,
  IdentityChoice,
  MessageIdentity,
  Workload,
  WorkloadCallOptions,
} from './workload-client.ts';
export { type HttpsAgentOptions, OffloadHttpsAgent } from './adapters/https-agent.ts';
export type { HttpServerOptions } from './adapters/http-server.ts';
export type {
  Http2ConnectOptions,
  Http2RequestListener,
  Http2ServerOptions,
} from './adapters/http2.ts';
export type {
  UndiciConnectCallback,
  UndiciConnector,
  UndiciConnectorOptions,
  UndiciConnectRequest,
} from './adapters/undici-connector.ts';
export type {
  GrpcChannelCredentialsOptions,
  GrpcClientModule,
} from './adapters/grpc-channel-credentials.ts';
export {
  grpcPeer,
  grpcPeerIdentityKey,
  type GrpcServerLike,
  type GrpcServerModule,
  type GrpcServerOptions,
} from './adapters/grpc-server.ts';
export type {
  KafkaSocketFactory,
  KafkaSocketFactoryOptions,
  KafkaSocketRequest,
} from './adapters/kafka-socket-factory.ts';
export type {
  MqttClientLike,
  MqttStreamBuilder,
  MqttStreamBuilderOptions,
} from './adapters/mqtt-stream-builder.ts';
export { PostgresStream, type PostgresStreamOptions } from './adapters/postgres-stream.ts';
export type { RedisConnectorHook, RedisConnectorOptions } from './adapters/redis-connector.ts';
export type {
  SmtpGetSocket,
  SmtpGetSocketCallback,
  SmtpGetSocketOptions,
  SmtpTarget,
} from './adapters/smtp-get-socket.ts';
export { serveConnection } from './take-over.ts';
