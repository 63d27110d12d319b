/** One check of the engine, taken away. */
export interface Mutation {
  /** The check that is missing. */
  readonly name: string;
  readonly file: string;
  /** What stands there now, once in the file. */
  readonly from: string;
  readonly to: string;
  /** The suites that should notice. */
  readonly suites: readonly string[];
}

const client = 'test/tls/client/*.test.ts';
const server = 'test/tls/server/*.test.ts';
const messages = 'test/tls/messages/*.test.ts';
const extensions = 'test/tls/extensions/*.test.ts';
const record = 'test/tls/record/*.test.ts';
const intake = 'test/tls/handshake-intake.test.ts';
const mutated = 'test/tls/handshake-mutation.test.ts';
const recorded = 'test/tls/recorded-flights.test.ts';
const nodeTls = 'test/tls/handshake-node-tls.test.ts';
const stateTable = 'test/state-table/state-machine.test.ts';

/**
 * The engine speaks TLS 1.2 only. Its counterpart of the downgrade sentinel, by which a client of
 * TLS 1.3 notices that it was talked down (RFC 8446 §4.1.3), is to take no other version, and to
 * refuse a client that fell back (RFC 7507): these stand in its place below.
 */
export const mutations: readonly Mutation[] = [
  {
    name: 'label of the extended master secret',
    file: 'src/tls/key-schedule.ts',
    from: "preMasterSecret, 'extended master secret', sessionHash",
    to: "preMasterSecret, 'master secret', sessionHash",
    suites: ['test/tls/key-schedule.test.ts', recorded],
  },
  {
    name: 'comparison of Finished',
    file: 'src/tls/handshake-finished.ts',
    from: 'if (!equalConstantTime(expected, received)) {',
    to: 'if (!equalConstantTime(expected, received) && received.length !== 12) {',
    suites: [mutated, client, server, stateTable],
  },
  {
    name: 'order of ChangeCipherSpec: before Finished',
    file: 'src/tls/handshake-input.ts',
    from: "if (input.type !== 'changeCipherSpec') throw unexpected(input, 'ChangeCipherSpec');",
    to: "if (input.type === 'verdict') throw unexpected(input, 'ChangeCipherSpec');",
    suites: [mutated, client, server, stateTable],
  },
  {
    name: 'order of ChangeCipherSpec: once',
    file: 'src/tls/handshake-intake.ts',
    from: 'if (this.#opener !== undefined) {\n      throw',
    to: 'if (this.#opener !== undefined && body.length !== 1) {\n      throw',
    suites: [intake, mutated, stateTable],
  },
  {
    name: 'order of ChangeCipherSpec: not inside a message',
    file: 'src/tls/handshake-intake.ts',
    from: 'if (!this.#reassembler.empty) {',
    to: 'if (!this.#reassembler.empty && body.length !== 1) {',
    suites: [intake, mutated],
  },
  {
    name: 'duplicate extension',
    file: 'src/tls/extensions/extension-table.ts',
    from: 'if (extensionTypes.includes(type)) {',
    to: 'if (extensionTypes.includes(type) && type > 0xffff) {',
    suites: [extensions, messages],
  },
  {
    name: 'form of points',
    file: 'src/crypto/key-exchange.ts',
    from: 'if (peerPublicKey[0] !== 4) throw',
    to: 'if (peerPublicKey[0] === 0) throw',
    suites: ['test/crypto/key-exchange.test.ts', client, server],
  },
  {
    name: 'length of points',
    file: 'src/crypto/key-exchange.ts',
    from: 'if (peerPublicKey.length === expected) return;',
    to: 'if (peerPublicKey.length <= expected) return;',
    suites: ['test/crypto/key-exchange.test.ts', client, server],
  },
  {
    name: 'signature scheme fits the key',
    file: 'src/tls/peer-authentication.ts',
    from: 'if (!schemeFitsKey(scheme, peer.keyKind, rsaModulusBytes(peer.publicKey))) {',
    to: 'if (!schemeFitsKey(scheme, peer.keyKind, rsaModulusBytes(peer.publicKey)) && scheme === 0x0101) {',
    suites: [client, server],
  },
  {
    name: 'signature scheme was offered',
    file: 'src/tls/peer-authentication.ts',
    from: 'const scheme = advertised.find((candidate) => candidate === signed.scheme);',
    to: 'const scheme = advertised.find((candidate) => candidate === signed.scheme) ?? (signed.scheme as SignatureScheme);',
    suites: [client, server],
  },
  {
    name: 'downgrade: version of ServerHello',
    file: 'src/tls/client/server-hello.ts',
    from: 'if (hello.legacyVersion !== ProtocolVersion.tls12) {',
    to: 'if (hello.legacyVersion > ProtocolVersion.tls12) {',
    suites: [client, nodeTls],
  },
  {
    name: 'downgrade: version of ClientHello',
    file: 'src/tls/server/client-hello.ts',
    from: '? legacyVersion >= ProtocolVersion.tls12',
    to: '? legacyVersion >= 0x0301',
    suites: [server, nodeTls],
  },
  {
    name: 'downgrade: fallback signal',
    file: 'src/tls/server/client-hello.ts',
    from: 'if (below && cipherSuites.includes(TLS_FALLBACK_SCSV)) {',
    to: 'if (below && cipherSuites.length === 0 && cipherSuites.includes(TLS_FALLBACK_SCSV)) {',
    suites: [server],
  },
  {
    name: 'length of records, by their header',
    file: 'src/tls/record/framing.ts',
    from: "if (length > maxPlaintextBytes + (epoch === 'protected' ? maxExpansionBytes : 0)) {",
    to: "if (length > 2 * maxPlaintextBytes + (epoch === 'protected' ? maxExpansionBytes : 0)) {",
    suites: [record, intake],
  },
  {
    name: 'length of records, once they are open',
    file: 'src/tls/record/protection.ts',
    from: 'if (body.length > minBytes + maxPlaintextBytes) {',
    to: 'if (body.length > minBytes + 2 * maxPlaintextBytes) {',
    suites: [record],
  },
  {
    name: 'ticket bound to the name',
    file: 'src/tls/server/resumption.ts',
    from: 'if (session.serverName !== hello.extensions.serverName) return undefined;',
    to: '',
    suites: [server, 'test/sidecar/handshakes.test.ts'],
  },
  {
    name: 'ticket bound to the trust it was made under',
    file: 'src/tls/server/resumption.ts',
    from: 'equal(session.sessionContext, config.sessionContext) &&',
    to: '',
    suites: [server, 'test/sidecar/handshakes.test.ts'],
  },
  {
    name: 'ticket bound to its protocol version',
    file: 'src/tls/tickets.ts',
    from: 'new Writer().u8(ticketFormat).u16(ProtocolVersion.tls12).bytes(keyName).finish()',
    to: 'new Writer().u8(ticketFormat).u16(ProtocolVersion.tls12 - 1).bytes(keyName).finish()',
    suites: ['test/tls/tickets.test.ts'],
  },
  {
    name: 'trailing data behind a message',
    file: 'src/tls/messages/parsing.ts',
    from: 'reader.end();',
    to: 'if (reader.remaining > 0xffffff) reader.end();',
    suites: [messages, mutated],
  },
  {
    name: 'trailing data behind an extension',
    file: 'src/tls/extensions/extension-table.ts',
    from: 'body.end();',
    to: '',
    suites: [extensions, messages],
  },
  {
    name: 'trailing data behind a flight',
    file: 'src/tls/handshake-intake.ts',
    from: 'if (this.#reassembler.empty) return;\n    throw',
    to: 'if (message.length > 0) return;\n    throw',
    suites: [intake, 'test/tls/flight-endings.test.ts'],
  },
];
