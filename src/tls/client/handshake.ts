import type { ClientConfig, Handshake } from '../config.ts';
import type { HandshakeConnection } from '../handshake-connection.ts';
import { HandshakeEngine } from '../handshake-engine.ts';
import type { HandshakeInput } from '../handshake-input.ts';
import { parseHelloRequest } from '../messages/hello-request.ts';
import { HandshakeType } from '../registries.ts';
import { checkHandshakeConfig } from '../config-check.ts';
import { awaitCertificateVerifySignature, expectServerHelloDone } from './client-flight.ts';
import { expectChangeCipherSpec, expectFinished, expectNewSessionTicket } from './completion.ts';
import { sendClientHello } from './offer.ts';
import { expectServerHello } from './server-hello.ts';
import {
  awaitServerVerdict,
  expectCertificate,
  expectCertificateRequestOrServerHelloDone,
  expectCertificateStatusOrServerKeyExchange,
  expectServerKeyExchange,
} from './server-parameters.ts';
import type { ClientState } from './states.ts';

/**
 * A TLS 1.2 client, sans-IO. Throws `RangeError` for a configuration nobody could shake hands with.
 */
export function createClientHandshake(config: ClientConfig): Handshake {
  checkHandshakeConfig(config);
  return new HandshakeEngine<ClientState>({
    initial: { tag: 'Start' },
    start: (connection) => sendClientHello(config, connection),
    step,
    resultOf: (state) => (state.tag === 'Established' ? state.result : undefined),
  });
}

function step(
  state: ClientState,
  input: HandshakeInput,
  connection: HandshakeConnection,
): ClientState {
  if (isIgnored(state, input)) {
    connection.ignoreMessage();
    return state;
  }
  switch (state.tag) {
    case 'ExpectServerHello':
      return expectServerHello(state, input, connection);
    case 'ExpectCertificate':
      return expectCertificate(state, input, connection);
    case 'ExpectCertificateStatusOrServerKeyExchange':
      return expectCertificateStatusOrServerKeyExchange(state, input, connection);
    case 'AwaitServerVerdict':
      return awaitServerVerdict(state, input);
    case 'ExpectServerKeyExchange':
      return expectServerKeyExchange(state, input);
    case 'ExpectCertificateRequestOrServerHelloDone':
      return expectCertificateRequestOrServerHelloDone(state, input, connection);
    case 'ExpectServerHelloDone':
      return expectServerHelloDone(state, input, connection);
    case 'AwaitCertificateVerifySignature':
      return awaitCertificateVerifySignature(state, input, connection);
    case 'ExpectNewSessionTicket':
      return expectNewSessionTicket(state, input);
    case 'ExpectChangeCipherSpec':
      return expectChangeCipherSpec(state, input, connection);
    case 'ExpectFinished':
      return expectFinished(state, input, connection);
    case 'Start':
    case 'Established':
      throw new TypeError(`no input is due in ${state.tag}`);
  }
}

/**
 * A server may ask for a handshake at any time, and is ignored while there is one
 * ({@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.1 | RFC 5246 §7.4.1.1}); it is no part
 * of the transcript. Between ChangeCipherSpec and Finished nothing at all may come.
 */
function isIgnored(state: ClientState, input: HandshakeInput): boolean {
  if (input.type !== 'message' || input.message.type !== HandshakeType.hello_request) return false;
  if (state.tag === 'ExpectFinished') return false;
  parseHelloRequest(input.message.body);
  return true;
}
