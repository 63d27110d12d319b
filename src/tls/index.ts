export { AlertDescription, alertName, type AlertName, TlsAlertError } from './alert.ts';
export { cipherSuiteByCode, cipherSuites, type CipherSuite } from './cipher-suites.ts';
export { createClientHandshake } from './client/handshake.ts';
export type {
  Action,
  ChainVerdict,
  ClientConfig,
  ClientSession,
  Credential,
  EstablishedAction,
  ExporterRequest,
  FailedAction,
  Handshake,
  HandshakeConfig,
  HandshakeFailure,
  HandshakeResult,
  ServerConfig,
  SignAction,
  TicketProtector,
  TrafficKeys,
  VerifyChainAction,
} from './config.ts';
export { checkExporterRequest } from './key-schedule.ts';
export { NamedGroup, SignatureScheme } from './registries.ts';
export { createServerHandshake } from './server/handshake.ts';
export { TicketKeys, type TicketCounters, type TicketKeysOptions } from './tickets.ts';
