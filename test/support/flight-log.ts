import { createHash } from 'node:crypto';
import type { Action, HandshakeResult, TrafficKeys } from '../../src/tls/config.ts';
import { nameOf, NamedGroup, SignatureScheme } from '../../src/tls/registries.ts';

/**
 * A recorded handshake as text: what one engine was called with (`>`) and what it answered (`<`),
 * all bytes in hexadecimal.
 *
 *     credential DER [DER ...]
 *     connection
 *     > start
 *     < send HEX
 *     > receive HEX
 *     < verifyChain ...
 *     > verified SPKI
 */
export interface FlightLog {
  /** DER, leaf first, of what the engine may show; empty: nothing. */
  readonly credential: readonly Uint8Array[];
  readonly connections: readonly ConnectionLog[];
}

export interface ConnectionLog {
  readonly calls: readonly LoggedCall[];
}

export interface LoggedCall {
  readonly method: CallMethod;
  /** Bytes received, signature, or public key (SubjectPublicKeyInfo); empty for `start`. */
  readonly input: Uint8Array;
  /** Lines of {@link actionLines}. */
  readonly actions: readonly string[];
}

export type CallMethod = 'start' | 'receive' | 'signed' | 'verified';

export function writeFlightLog(log: FlightLog): string {
  const lines = [['credential', ...log.credential.map(hex)].join(' ')];
  for (const { calls } of log.connections) {
    lines.push('connection');
    for (const { method, input, actions } of calls) {
      lines.push(`> ${method} ${hex(input)}`.trimEnd(), ...actions.map((line) => `< ${line}`));
    }
  }
  return `${lines.join('\n')}\n`;
}

/** Throws for a text that is no flight log. */
export function readFlightLog(text: string): FlightLog {
  const [first = '', ...lines] = text.trimEnd().split('\n');
  const [keyword, ...credential] = first.split(' ');
  if (keyword !== 'credential') throw new Error('a flight log begins with its credential');
  const connections: { calls: { method: CallMethod; input: Uint8Array; actions: string[] }[] }[] =
    [];
  for (const line of lines) {
    const calls = connections.at(-1)?.calls;
    if (line === 'connection') connections.push({ calls: [] });
    else if (line.startsWith('> ')) calls?.push({ ...readCall(line), actions: [] });
    else if (line.startsWith('< ')) calls?.at(-1)?.actions.push(line.slice(2));
    else throw new Error(`no line of a flight log: ${line}`);
  }
  return { credential: credential.map((der) => Buffer.from(der, 'hex')), connections };
}

/** What an engine answered, one line or more per action, complete enough to tell any difference. */
export function actionLines(actions: readonly Action[]): string[] {
  return actions.flatMap((action) => {
    switch (action.type) {
      case 'send':
        return [`send ${hex(action.bytes)}`];
      case 'sign':
        return [
          `sign ${action.credential.name} ${nameOf(SignatureScheme, action.scheme)} ${hex(action.content)}`,
        ];
      case 'verifyChain': {
        const kind = action.resumed ? 'resumed' : 'full';
        const staple = action.stapledOcsp === undefined ? [] : ['stapled', hex(action.stapledOcsp)];
        const words = [action.purpose, kind, ...action.certificates.map(hex), ...staple];
        return [`verifyChain ${words.join(' ')}`];
      }
      case 'established':
        return [
          `established trailing=${String(action.trailingBytes)}`,
          ...resultLines(action.result),
        ];
      case 'failed': {
        const { kind, alert = 'none', reason, phase } = action.failure;
        return [`failed ${kind} ${alert} ${reason} in ${phase}`];
      }
    }
  });
}

function readCall(line: string): { method: CallMethod; input: Uint8Array } {
  const [, method = '', input = ''] = line.split(' ');
  switch (method) {
    case 'start':
    case 'receive':
    case 'signed':
    case 'verified':
      return { method, input: Buffer.from(input, 'hex') };
    default:
      throw new Error(`no call of an engine: ${method}`);
  }
}

function resultLines(result: HandshakeResult): string[] {
  const { namedGroup, signatureScheme, peerSignatureScheme, session } = result;
  const facts = {
    suite: result.cipherSuite.name,
    protocol: result.applicationProtocol,
    resumed: result.resumed,
    extendedMasterSecret: result.extendedMasterSecret,
    serverName: result.serverName,
    group: namedGroup === undefined ? undefined : nameOf(NamedGroup, namedGroup),
    scheme: signatureScheme === undefined ? undefined : nameOf(SignatureScheme, signatureScheme),
    peerScheme:
      peerSignatureScheme === undefined ? undefined : nameOf(SignatureScheme, peerSignatureScheme),
    credential: result.credential?.name,
    peerCertificates: result.peerCertificates.map(fingerprint).join(','),
    read: trafficKeys(result.read),
    write: trafficKeys(result.write),
    localFinished: hex(result.localFinished),
    peerFinished: hex(result.peerFinished),
    exported: result.keyingMaterial.map(hex).join(','),
    ticket: session === undefined ? undefined : fingerprint(session.ticket),
    createdAt: session?.createdAt.toISOString(),
    lifetimeHintSeconds: session?.lifetimeHintSeconds,
  };
  return Object.entries(facts).map(([name, value]) => `  ${name} ${String(value ?? '-')}`);
}

function trafficKeys({ key, fixedNonce, sequenceNumber }: TrafficKeys): string {
  return `${hex(key)} ${hex(fixedNonce)} ${String(sequenceNumber)}`;
}

function fingerprint(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
