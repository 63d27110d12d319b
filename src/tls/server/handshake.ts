import type { Handshake, ServerConfig } from '../config.ts';
import { checkHandshakeConfig } from '../config-check.ts';
import type { HandshakeConnection } from '../handshake-connection.ts';
import { HandshakeEngine } from '../handshake-engine.ts';
import type { HandshakeInput } from '../handshake-input.ts';
import { awaitResumptionVerdict, expectClientHello } from './client-hello.ts';
import {
  awaitClientVerdict,
  expectCertificate,
  expectCertificateVerify,
  expectClientKeyExchange,
} from './client-flight.ts';
import { expectChangeCipherSpec, expectFinished } from './completion.ts';
import { awaitServerKeyExchangeSignature } from './server-flight.ts';
import type { ServerState } from './states.ts';

/**
 * A TLS 1.2 server, sans-IO. Throws `RangeError` for a configuration nobody could shake hands with.
 */
export function createServerHandshake(config: ServerConfig): Handshake {
  checkHandshakeConfig(config);
  if (config.credentials.length === 0) throw new RangeError('a server needs a credential');
  const initial: ServerState = { tag: 'ExpectClientHello', config };
  return new HandshakeEngine<ServerState>({
    initial,
    start: () => initial,
    step,
    resultOf: (state) => (state.tag === 'Established' ? state.result : undefined),
  });
}

function step(
  state: ServerState,
  input: HandshakeInput,
  connection: HandshakeConnection,
): ServerState {
  switch (state.tag) {
    case 'ExpectClientHello':
      return expectClientHello(state, input, connection);
    case 'AwaitResumptionVerdict':
      return awaitResumptionVerdict(state, input, connection);
    case 'AwaitServerKeyExchangeSignature':
      return awaitServerKeyExchangeSignature(state, input, connection);
    case 'ExpectCertificate':
      return expectCertificate(state, input, connection);
    case 'AwaitClientVerdict':
      return awaitClientVerdict(state, input);
    case 'ExpectClientKeyExchange':
      return expectClientKeyExchange(state, input, connection);
    case 'ExpectCertificateVerify':
      return expectCertificateVerify(state, input);
    case 'ExpectChangeCipherSpec':
      return expectChangeCipherSpec(state, input, connection);
    case 'ExpectFinished':
      return expectFinished(state, input, connection);
    case 'Established':
      throw new TypeError('no input is due in Established');
  }
}
