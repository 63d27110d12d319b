import { randomBytes } from 'node:crypto';
import { generateKeyShare, type KeyShare } from '../../src/crypto/key-exchange.ts';
import { signSync } from '../../src/crypto/signatures.ts';
import { cipherSuiteByCode, type CipherSuite } from '../../src/tls/cipher-suites.ts';
import type { ClientExtensions } from '../../src/tls/extensions/client-extensions.ts';
import {
  noServerExtensions,
  type ServerExtensions,
} from '../../src/tls/extensions/server-extensions.ts';
import {
  extendedMasterSecret,
  keyBlock,
  masterSecret,
  verifyData,
  type KeyBlock,
} from '../../src/tls/key-schedule.ts';
import { encodeCertificateRequest } from '../../src/tls/messages/certificate-request.ts';
import { encodeCertificateStatus } from '../../src/tls/messages/certificate-status.ts';
import { encodeCertificateVerify } from '../../src/tls/messages/certificate-verify.ts';
import { encodeCertificate } from '../../src/tls/messages/certificate.ts';
import { encodeClientHello, parseClientHello } from '../../src/tls/messages/client-hello.ts';
import type { ClientHello, ReceivedClientHello } from '../../src/tls/messages/client-hello.ts';
import {
  encodeClientKeyExchange,
  parseClientKeyExchange,
} from '../../src/tls/messages/client-key-exchange.ts';
import { encodeHandshakeMessage } from '../../src/tls/messages/handshake-message.ts';
import { encodeNewSessionTicket } from '../../src/tls/messages/new-session-ticket.ts';
import { encodeServerHello, parseServerHello } from '../../src/tls/messages/server-hello.ts';
import type { ServerHello } from '../../src/tls/messages/server-hello.ts';
import {
  encodeServerEcdhParams,
  encodeServerKeyExchange,
  parseServerKeyExchange,
} from '../../src/tls/messages/server-key-exchange.ts';
import { encodeRecord } from '../../src/tls/record/framing.ts';
import {
  createRecordOpener,
  createRecordSealer,
  type RecordOpener,
  type RecordSealer,
} from '../../src/tls/record/protection.ts';
import {
  ContentType,
  HandshakeType,
  NamedGroup,
  ProtocolVersion,
  SignatureScheme,
} from '../../src/tls/registries.ts';
import { Transcript } from '../../src/tls/transcript.ts';
import type { TestIdentity } from './engine-driver.ts';

/**
 * A peer that does what it is told: every message is a call, in any order and with anything in it,
 * under the right keys. What it says goes into its transcript, so what comes later still fits.
 */
abstract class Puppet {
  readonly transcript = new Transcript({ keepRaw: true });
  /** Everything it received, message by message; the records of protected ones are opened. */
  readonly received: { readonly type: number; readonly body: Uint8Array }[] = [];
  clientRandom: Uint8Array = randomBytes(32);
  serverRandom: Uint8Array = randomBytes(32);
  suite: CipherSuite | undefined;
  extendedMasterSecret = true;
  preMasterSecret: Uint8Array | undefined;
  master: Uint8Array | undefined;
  protected sealer: RecordSealer | undefined;
  protected opener: RecordOpener | undefined;

  protected abstract readonly role: 'client' | 'server';

  /** A message in a record of its own, in the current write epoch. */
  message(type: number, body: Uint8Array): Buffer {
    return this.record(ContentType.handshake, this.unsent(type, body));
  }

  /** A message in the transcript which still has to be put in a record. */
  unsent(type: number, body: Uint8Array): Uint8Array {
    const raw = encodeHandshakeMessage(type as HandshakeType, body);
    this.transcript.add(raw);
    return raw;
  }

  /** Any record in the current write epoch. */
  record(type: number, plaintext: Uint8Array): Buffer {
    const known = type as ContentType;
    if (this.sealer === undefined) {
      return Buffer.from(encodeRecord(known, ProtocolVersion.tls12, plaintext));
    }
    const target = Buffer.alloc(plaintext.length + this.sealer.overhead);
    this.sealer.seal(known, plaintext, target, 0);
    return target;
  }

  /** A ChangeCipherSpec; what follows is protected. */
  changeCipherSpec(): Buffer {
    const record = this.record(ContentType.change_cipher_spec, Uint8Array.of(1));
    this.protectWriting();
    return record;
  }

  protectWriting(): void {
    const { keys, suite } = this.#keys();
    this.sealer = createRecordSealer(protection(suite, keys, this.role));
  }

  finished(change: (verifyData: Uint8Array) => Uint8Array = (same) => same): Buffer {
    return this.message(HandshakeType.finished, change(this.verifyData(this.role)));
  }

  verifyData(whose: 'client' | 'server'): Uint8Array {
    const { master, suite } = this.#keys();
    return verifyData(suite.hash, master, `${whose} finished`, this.transcript.digest());
  }

  /** Takes bytes of the engine: whole records. Returns the alert in them, if there is one. */
  take(bytes: Uint8Array): number | undefined {
    let rest = bytes;
    let alert: number | undefined;
    while (rest.length > 0) {
      const length = 5 + (rest[3] ?? 0) * 256 + (rest[4] ?? 0);
      const record = Uint8Array.from(rest.subarray(0, length));
      rest = rest.subarray(length);
      const plaintext = this.opener === undefined ? record.subarray(5) : this.opener.open(record);
      switch (record[0]) {
        case ContentType.change_cipher_spec: {
          const { keys, suite } = this.#keys();
          const peer = this.role === 'client' ? 'server' : 'client';
          this.opener = createRecordOpener(protection(suite, keys, peer));
          break;
        }
        case ContentType.alert:
          alert = plaintext[1];
          break;
        default:
          this.#takeMessages(plaintext);
      }
    }
    return alert;
  }

  protected abstract learn(type: number, body: Uint8Array): void;

  /** Once the premaster secret is known and ClientKeyExchange is in the transcript. */
  protected deriveMaster(preMasterSecret: Uint8Array): void {
    const hash = this.suite!.hash;
    this.master = this.extendedMasterSecret
      ? extendedMasterSecret(hash, preMasterSecret, this.transcript.digest())
      : masterSecret(hash, preMasterSecret, this.clientRandom, this.serverRandom);
  }

  #takeMessages(plaintext: Uint8Array): void {
    let rest = plaintext;
    while (rest.length > 0) {
      const view = Buffer.from(rest);
      const end = 4 + view.readUIntBE(1, 3);
      const raw = Uint8Array.from(rest.subarray(0, end));
      rest = rest.subarray(end);
      this.transcript.add(raw);
      this.received.push({ type: view.readUInt8(0), body: raw.subarray(4) });
      this.learn(view.readUInt8(0), raw.subarray(4));
    }
  }

  #keys(): { keys: KeyBlock; suite: CipherSuite; master: Uint8Array } {
    const { suite, master } = this;
    if (suite === undefined || master === undefined) throw new Error('the puppet has no keys yet');
    return { keys: keyBlock(suite, master, this.serverRandom, this.clientRandom), suite, master };
  }
}

function protection(cipherSuite: CipherSuite, keys: KeyBlock, writer: 'client' | 'server') {
  return {
    cipherSuite,
    key: writer === 'client' ? keys.clientWriteKey : keys.serverWriteKey,
    fixedNonce: writer === 'client' ? keys.clientWriteIv : keys.serverWriteIv,
    sequenceNumber: 0n,
    provider: 'node',
  } as const;
}

/** A server for our client to talk to. */
export class PuppetServer extends Puppet {
  protected readonly role = 'server';
  readonly identity: TestIdentity;
  hello: ReceivedClientHello | undefined;
  share: KeyShare = generateKeyShare(NamedGroup.secp256r1);

  constructor(identity: TestIdentity) {
    super();
    this.identity = identity;
  }

  serverHello(
    changes: Partial<Omit<ServerHello, 'extensions'>> & {
      readonly extensions?: Partial<ServerExtensions>;
    } = {},
  ): Buffer {
    const { extensions, ...fields } = changes;
    const hello: ServerHello = {
      legacyVersion: ProtocolVersion.tls12,
      random: this.serverRandom,
      sessionId: new Uint8Array(0),
      cipherSuite: this.hello?.cipherSuites[0] ?? 0,
      compressionMethod: 0,
      ...fields,
      extensions: {
        ...noServerExtensions,
        renegotiationInfo: new Uint8Array(0),
        extendedMasterSecret: true,
        ...extensions,
      },
    };
    this.extendedMasterSecret = hello.extensions.extendedMasterSecret;
    return this.rawServerHello(encodeServerHello(hello));
  }

  /** A body as it is, well formed only up to the suite. */
  rawServerHello(body: Uint8Array): Buffer {
    const record = this.message(HandshakeType.server_hello, body);
    if (this.suite !== undefined) return record;
    this.suite = cipherSuiteByCode(Buffer.from(body).readUInt16BE(35 + (body[34] ?? 0)));
    this.transcript.chooseHash(this.suite?.hash ?? 'sha256');
    return record;
  }

  certificate(certificates = this.identity.credential.certificates): Buffer {
    return this.message(HandshakeType.certificate, encodeCertificate({ certificates }));
  }

  certificateStatus(ocspResponse: Uint8Array = Uint8Array.of(0x30, 0)): Buffer {
    const body = encodeCertificateStatus({ ocspResponse });
    return this.message(HandshakeType.certificate_status, body);
  }

  serverKeyExchange(
    changes: {
      readonly group?: number;
      readonly point?: Uint8Array;
      readonly scheme?: number;
      /** What is written as scheme, when it is not what was signed with. */
      readonly namedScheme?: number;
      readonly changeSignature?: (signature: Uint8Array) => Uint8Array;
    } = {},
  ): Buffer {
    const { group = this.share.group, point = this.share.publicKey } = changes;
    const scheme = changes.scheme ?? SignatureScheme.ecdsa_secp256r1_sha256;
    const params = encodeServerEcdhParams(group, point);
    const content = Buffer.concat([this.clientRandom, this.serverRandom, params]);
    const signature = signSync(this.identity.privateKey, scheme, content);
    const body = encodeServerKeyExchange({
      params,
      scheme: changes.namedScheme ?? scheme,
      signature: changes.changeSignature?.(signature) ?? signature,
    });
    return this.message(HandshakeType.server_key_exchange, body);
  }

  certificateRequest(): Buffer {
    return this.message(
      HandshakeType.certificate_request,
      encodeCertificateRequest({
        certificateTypes: [64, 1],
        signatureAlgorithms: Object.values(SignatureScheme),
        certificateAuthorities: [],
      }),
    );
  }

  serverHelloDone(): Buffer {
    return this.message(HandshakeType.server_hello_done, new Uint8Array(0));
  }

  newSessionTicket(ticket: Uint8Array = randomBytes(100), lifetimeHintSeconds = 3600): Buffer {
    const body = encodeNewSessionTicket({ lifetimeHintSeconds, ticket });
    return this.message(HandshakeType.new_session_ticket, body);
  }

  protected learn(type: number, body: Uint8Array): void {
    if (type === HandshakeType.client_hello) {
      this.hello = parseClientHello(body);
      this.clientRandom = this.hello.random;
    } else if (type === HandshakeType.client_key_exchange) {
      this.deriveMaster(this.share.complete(parseClientKeyExchange(body).point));
    }
  }
}

/** A client for our server to talk to. */
export class PuppetClient extends Puppet {
  protected readonly role = 'client';
  hello: ClientHello | undefined;
  share: KeyShare | undefined;

  clientHello(
    changes: Partial<Omit<ClientHello, 'extensions'>> & {
      readonly extensions?: Partial<ClientExtensions>;
    } = {},
  ): Buffer {
    this.hello = this.helloWith(changes);
    return this.message(HandshakeType.client_hello, encodeClientHello(this.hello));
  }

  helloWith(
    changes: Partial<Omit<ClientHello, 'extensions'>> & {
      readonly extensions?: Partial<ClientExtensions>;
    } = {},
  ): ClientHello {
    const { extensions, ...fields } = changes;
    return {
      legacyVersion: ProtocolVersion.tls12,
      random: this.clientRandom,
      sessionId: new Uint8Array(0),
      cipherSuites: [0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8],
      compressionMethods: [0],
      ...fields,
      extensions: {
        serverName: 'server.test',
        extendedMasterSecret: true,
        renegotiationInfo: new Uint8Array(0),
        supportedGroups: [23, 29, 24],
        ecPointFormats: [0],
        signatureAlgorithms: Object.values(SignatureScheme),
        sessionTicket: new Uint8Array(0),
        ...extensions,
      },
    };
  }

  certificate(certificates: readonly Uint8Array[]): Buffer {
    return this.message(HandshakeType.certificate, encodeCertificate({ certificates }));
  }

  /** Ends with the keys known, unless `point` is a made-up one. */
  clientKeyExchange(point?: Uint8Array): Buffer {
    const body = this.received.find(({ type }) => type === HandshakeType.server_key_exchange)?.body;
    if (body === undefined) throw new Error('no ServerKeyExchange received');
    const params = parseServerKeyExchange(body);
    this.share ??= generateKeyShare(params.group);
    const ours = point ?? this.share.publicKey;
    const record = this.message(
      HandshakeType.client_key_exchange,
      encodeClientKeyExchange({ point: ours }),
    );
    if (point === undefined) this.deriveMaster(this.share.complete(params.point));
    return record;
  }

  certificateVerify(
    identity: TestIdentity,
    changes: {
      readonly scheme?: number;
      readonly namedScheme?: number;
      readonly changeSignature?: (signature: Uint8Array) => Uint8Array;
    } = {},
  ): Buffer {
    const scheme = changes.scheme ?? SignatureScheme.ecdsa_secp256r1_sha256;
    const signature = signSync(identity.privateKey, scheme, this.transcript.raw());
    return this.message(
      HandshakeType.certificate_verify,
      encodeCertificateVerify({
        scheme: changes.namedScheme ?? scheme,
        signature: changes.changeSignature?.(signature) ?? signature,
      }),
    );
  }

  protected learn(type: number, body: Uint8Array): void {
    if (type !== HandshakeType.server_hello) return;
    const hello = parseServerHello(body);
    this.serverRandom = hello.random;
    this.suite = cipherSuiteByCode(hello.cipherSuite);
    this.extendedMasterSecret = hello.extensions.extendedMasterSecret;
    this.transcript.chooseHash(this.suite?.hash ?? 'sha256');
  }
}
