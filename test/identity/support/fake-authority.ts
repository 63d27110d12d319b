import {
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto';
import { createServer, type Server as NetServer } from 'node:net';
import type { Duplex } from 'node:stream';
import { Metadata, Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { bundleSignedPart, createBundleMaker, tokenKeyId } from '../../../src/ca/bundle/bundle.ts';
import { encodeTokenPayload, signedPart, tokenText } from '../../../src/ca/tokens/token.ts';
import { generateKeyPair } from '../../../src/crypto/key-generation.ts';
import { hash } from '../../../src/crypto/hash.ts';
import { signSync, verifySignature } from '../../../src/crypto/signatures.ts';
import {
  type CertificateAuthorityServiceServer,
  CertificateAuthorityServiceService,
  type ConfirmRequest,
  type EnrollRequest,
  type EnrollResponse,
  type FollowTrustRequest,
  FollowTrustResponse,
  type IssuedCertificates,
  type RenewRequest,
  type TrustBundle,
  TrustBundleContent,
} from '../../../src/gen/sidekey/v1/certificate_authority.ts';
import type { AuthorityCredential, DialAuthority } from '../../../src/identity/dial.ts';
import { uuidText } from '../../../src/identity/issued-certificates.ts';
import { arrivalBytes, proofScheme, renewalBytes } from '../../../src/identity/proof.ts';
import { signedBundleBytes } from '../../../src/identity/trust-bundle.ts';
import {
  type Certificate,
  encodeName,
  issueCertificate,
  keyIdentifier,
  parseCertificate,
  parseCertificateRequest,
} from '../../../src/pki/index.ts';
import { memoryPair } from '../../offload/support/memory-pair.ts';

export interface Ca {
  readonly certificate: Certificate;
  readonly privateKey: KeyObject;
}

/** Refuses, as services do. */
export interface Refusal {
  readonly code: number;
  readonly reason: string;
  readonly retryAfterMs?: number;
}

export type Method = 'enroll' | 'renew' | 'confirm' | 'followTrust';

interface Agent {
  readonly id: Uint8Array;
  readonly spiffeId: string;
  readonly role: string;
  serial: Uint8Array;
  key: KeyObject;
  generation: number;
  renewalToken: string;
  confirmed: boolean;
}

/**
 * An authority in memory: real protobuf over real gRPC, real certificates, and rules of renewal and
 * replay as they are agreed; no store, no TLS. It can be told to refuse, to lose answers, to lie.
 */
export class FakeAuthority {
  readonly trustDomain: string;
  readonly now: () => Date;
  lifetimeMs = 24 * 3_600_000;
  backdateMs = 300_000;
  epoch = 'e0000001';
  sequence = 1;
  root: Ca;
  issuing: Ca;
  /** Roots in the trust bundle; the first is the one that issues. */
  roots: Ca[];
  /** Cross certificates and the like. */
  intermediates: Uint8Array[] = [];
  /** Sign the trust bundle; absent: all roots. */
  signers: Ca[] | undefined;
  readonly agents = new Map<string, Agent>();
  /** Every call that came, in order. */
  readonly calls: Method[] = [];
  readonly enrollRequests: EnrollRequest[] = [];
  readonly renewRequests: RenewRequest[] = [];
  readonly followRequests: FollowTrustRequest[] = [];
  readonly streams = new Set<ServerDuplexStream<FollowTrustRequest, FollowTrustResponse>>();
  /** Leaf of who dialled, and where, in order. */
  readonly dials: {
    readonly addresses: readonly string[];
    readonly credential: AuthorityCredential;
  }[] = [];
  /** Called before anything is done: answer to refuse. */
  refuse: (method: Method) => Refusal | undefined = () => undefined;
  /** Called when it is done: `true` loses the answer with the connection. */
  lose: (method: Method) => boolean = () => false;
  /** Changes answers. */
  twist: (issued: IssuedCertificates, response: EnrollResponse) => void = () => undefined;
  /** Rejects dials. */
  unreachable: Error | undefined;
  #serial = 0;
  readonly #tokenKeys = generateKeyPairSync('ed25519');
  readonly #tokens = new Map<
    string,
    { readonly role: string; answer?: [string, EnrollResponse] }
  >();
  readonly #renewals = new Map<string, [string, EnrollResponse]>();
  readonly #bundleCredential: { readonly certificate: Uint8Array; readonly key: KeyObject };
  #net: NetServer | undefined;
  readonly #servers = new Set<Server>();

  constructor(now: () => Date, trustDomain = 'example.test') {
    this.now = now;
    this.trustDomain = trustDomain;
    this.root = this.makeRoot('Root 1');
    this.roots = [this.root];
    this.issuing = this.makeIssuing(this.root);
    const keys = generateKeyPair('ecdsa-p256');
    const enrolment = this.makeIssuing(this.root);
    this.#bundleCredential = {
      key: keys.privateKey,
      certificate: issueCertificate({
        subject: encodeName({ commonName: 'bundle' }),
        publicKey: keys.publicKey,
        issuer: enrolment,
        ...this.#validity(),
        extendedKeyUsage: ['clientAuth'],
      }),
    };
  }

  makeRoot(name: string): Ca {
    const keys = generateKeyPair('ecdsa-p256');
    const der = issueCertificate({
      subject: encodeName({ commonName: name }),
      publicKey: keys.publicKey,
      issuer: { privateKey: keys.privateKey },
      notBefore: new Date(this.now().getTime() - 86_400_000),
      notAfter: new Date(this.now().getTime() + 3650 * 86_400_000),
      isCa: true,
    });
    return { certificate: parseCertificate(der), privateKey: keys.privateKey };
  }

  makeIssuing(root: Ca): Ca {
    const keys = generateKeyPair('ecdsa-p256');
    const der = issueCertificate({
      subject: encodeName({ commonName: `Issuing ${randomBytes(4).toString('hex')}` }),
      publicKey: keys.publicKey,
      issuer: root,
      notBefore: new Date(this.now().getTime() - 86_400_000),
      notAfter: new Date(this.now().getTime() + 365 * 86_400_000),
      isCa: true,
      pathLength: 0,
    });
    return { certificate: parseCertificate(der), privateKey: keys.privateKey };
  }

  /** One root certified by another. */
  crossCertify(root: Ca, by: Ca): Uint8Array {
    return issueCertificate({
      subject: root.certificate.subject,
      publicKey: root.certificate.publicKey,
      issuer: by,
      notBefore: new Date(this.now().getTime() - 86_400_000),
      notAfter: new Date(this.now().getTime() + 3650 * 86_400_000),
      isCa: true,
    });
  }

  /** A bundle file with a token of its own. */
  makeBundle(options: { readonly role?: string; readonly notAfter?: Date } = {}): Uint8Array {
    const { role = 'agent', notAfter = new Date(this.now().getTime() + 3_600_000) } = options;
    const info = this.#tokenKeys.publicKey.export({ type: 'spki', format: 'der' });
    const payload = encodeTokenPayload({
      keyId: tokenKeyId(info),
      id: randomBytes(16),
      kind: 'enroll',
      expiresAt: notAfter.getTime(),
      propertiesDigest: hash('sha256', Buffer.from('{}')),
      role: role as 'agent',
    });
    const token = tokenText(payload, sign(null, signedPart(payload), this.#tokenKeys.privateKey));
    this.#tokens.set(token, { role });
    const maker = createBundleMaker({
      addresses: ['authority.test:7443', 'other.test:7443'],
      trustDomain: this.trustDomain,
      role: role as 'agent',
      properties: {},
      roots: this.roots.map(({ certificate }) => certificate.der),
      bundleSequence: this.sequence,
      epoch: this.epoch,
      options: {},
      notAfter: notAfter.getTime(),
      credential: {
        certificate: this.#bundleCredential.certificate,
        privateKey: this.#bundleCredential.key.export({ type: 'pkcs8', format: 'der' }),
      },
      key: { id: tokenKeyId(info), publicKey: info },
    });
    const document = maker.document(token);
    return maker.file(document, sign(null, bundleSignedPart(document), this.#tokenKeys.privateKey));
  }

  trustBundle(): TrustBundle {
    const content = TrustBundleContent.encode({
      trustDomain: this.trustDomain,
      sequence: BigInt(this.sequence),
      epoch: this.epoch,
      roots: this.roots.map(({ certificate }) => Buffer.from(certificate.der)),
      intermediates: [this.issuing.certificate.der, ...this.intermediates].map((der) =>
        Buffer.from(der),
      ),
      addresses: ['authority.test:7443', 'other.test:7443'],
      createdAt: this.now(),
    }).finish();
    return {
      content: Buffer.from(content),
      signatures: (this.signers ?? this.roots).map(({ certificate, privateKey }) => ({
        keyIdentifier: Buffer.from(keyIdentifier(certificate.publicKeyInfo)),
        signature: Buffer.from(
          signSync(privateKey, proofScheme(privateKey), signedBundleBytes(content)),
        ),
      })),
    };
  }

  readonly dial: DialAuthority = (addresses, credential, expectation, signal) => {
    signal.throwIfAborted();
    this.dials.push({ addresses, credential });
    if (this.unreachable !== undefined) return Promise.reject(this.unreachable);
    if (expectation.trustDomain !== this.trustDomain) {
      return Promise.reject(new Error('another trust domain'));
    }
    const [left, right] = memoryPair('as written');
    this.accept(right);
    return Promise.resolve(left);
  };

  /** Serves whoever connects to a unix socket, for hosts in other processes. */
  async listen(path: string): Promise<void> {
    const server = createServer((socket) => {
      this.accept(socket);
    });
    this.#net = server;
    await new Promise<void>((resolve) => server.listen(path, resolve));
  }

  accept(duplex: Duplex): void {
    const server = this.#serve(duplex);
    this.#servers.add(server);
    duplex.on('error', () => undefined);
    duplex.once('close', () => {
      server.forceShutdown();
      this.#servers.delete(server);
    });
    server.createConnectionInjector(ServerCredentials.createInsecure()).injectConnection(duplex);
  }

  /** Sends to all followers. */
  tell(message: Parameters<typeof FollowTrustResponse.fromPartial>[0]): void {
    for (const stream of this.streams) {
      stream.write(FollowTrustResponse.fromPartial({ epoch: this.epoch, ...message }));
    }
  }

  close(): void {
    this.#net?.close();
    for (const server of this.#servers) server.forceShutdown();
  }

  #serve(duplex: Duplex): Server {
    const server = new Server();
    const service: CertificateAuthorityServiceServer = {
      enroll: (call, callback) => {
        this.#answer('enroll', duplex, callback, () => this.#enroll(call.request));
      },
      renew: (call, callback) => {
        this.#answer('renew', duplex, callback, () => this.#renew(call.request));
      },
      confirm: (call, callback) => {
        this.#answer('confirm', duplex, callback, () => this.#confirm(call.request));
      },
      followTrust: (stream) => {
        this.calls.push('followTrust');
        const refusal = this.refuse('followTrust');
        stream.on('error', () => undefined);
        if (refusal !== undefined) {
          stream.emit('error', statusOf(refusal));
          return;
        }
        this.streams.add(stream);
        const forget = () => void this.streams.delete(stream);
        stream.on('cancelled', forget);
        stream.on('close', forget);
        stream.on('data', (request: FollowTrustRequest) => {
          this.followRequests.push(request);
        });
        stream.on('end', () => {
          stream.end();
        });
      },
    };
    server.addService(CertificateAuthorityServiceService, service);
    return server;
  }

  #answer<T>(
    method: Method,
    duplex: Duplex,
    callback: (error: object | null, response?: T) => void,
    work: () => T,
  ): void {
    this.calls.push(method);
    const refusal = this.refuse(method);
    if (refusal !== undefined) {
      callback(statusOf(refusal));
      return;
    }
    let response: T;
    try {
      response = work();
    } catch (error) {
      callback(error instanceof RefusedError ? statusOf(error.refusal) : (error as Error));
      return;
    }
    if (this.lose(method)) duplex.destroy();
    else callback(null, response);
  }

  #enroll(request: EnrollRequest): EnrollResponse {
    this.enrollRequests.push(request);
    const token = this.#tokens.get(request.token);
    if (token === undefined) throw refused('token unknown');
    const key = parseCertificateRequest(request.tlsRequest).publicKey;
    const digest = keyDigest(key);
    if (token.answer !== undefined) {
      if (token.answer[0] === digest) return token.answer[1];
      throw refused('token spent');
    }
    const id = randomBytes(16);
    const agent: Agent = {
      id,
      role: token.role,
      spiffeId: `spiffe://${this.trustDomain}/${token.role}/${uuidText(id)}`,
      serial: new Uint8Array(),
      key,
      generation: 0,
      renewalToken: '',
      confirmed: false,
    };
    this.agents.set(agent.spiffeId, agent);
    const response = this.#issue(agent, request.tlsRequest, request.decryptionRequest);
    token.answer = [digest, response];
    return response;
  }

  #renew(request: RenewRequest): EnrollResponse {
    this.renewRequests.push(request);
    const digest = keyDigest(parseCertificateRequest(request.tlsRequest).publicKey);
    const earlier = this.#renewals.get(request.renewalToken);
    if (earlier !== undefined) {
      if (earlier[0] === digest) return earlier[1];
      throw refused('clone');
    }
    const agent = [...this.agents.values()].find(
      ({ renewalToken }) => renewalToken === request.renewalToken,
    );
    if (agent === undefined) throw refused('token unknown');
    const content = { ...request, renewalToken: request.renewalToken };
    const { key } = agent;
    if (!verifySignature(key, proofScheme(key), renewalBytes(content), request.proof)) {
      throw refused('proof wrong');
    }
    if (!request.currentSerial.equals(agent.serial)) throw refused('serial wrong');
    const response = this.#issue(agent, request.tlsRequest, request.decryptionRequest);
    this.#renewals.set(request.renewalToken, [digest, response]);
    return response;
  }

  #confirm({ serial, proof }: ConfirmRequest): object {
    const agent = [...this.agents.values()].find((each) => serial.equals(each.serial));
    if (agent === undefined) throw refused('serial unknown');
    const { key } = agent;
    if (!verifySignature(key, proofScheme(key), arrivalBytes(serial), proof)) {
      throw refused('proof wrong');
    }
    agent.confirmed = true;
    return {};
  }

  #issue(agent: Agent, tlsRequest: Uint8Array, decryptionRequest: Uint8Array): EnrollResponse {
    const { publicKey } = parseCertificateRequest(tlsRequest);
    agent.serial = this.#nextSerial();
    agent.key = publicKey;
    agent.generation += 1;
    agent.renewalToken = `sk1.renewal-${randomBytes(12).toString('hex')}`;
    agent.confirmed = false;
    const names = { subjectAltNames: { uris: [agent.spiffeId] } };
    const issuer = this.issuing;
    const tls = issueCertificate({
      ...names,
      publicKey,
      issuer,
      serialNumber: agent.serial,
      ...this.#validity(),
      extendedKeyUsage: ['serverAuth', 'clientAuth'],
    });
    const decryption =
      decryptionRequest.length === 0
        ? []
        : [
            Buffer.from(
              issueCertificate({
                ...names,
                publicKey: parseCertificateRequest(decryptionRequest).publicKey,
                issuer,
                serialNumber: this.#nextSerial(),
                ...this.#validity(),
                keyUsage: ['keyAgreement'],
                extendedKeyUsage: ['1.3.6.1.5.5.7.3.4'],
              }),
            ),
            Buffer.from(issuer.certificate.der),
          ];
    const issued: IssuedCertificates = {
      agentId: Buffer.from(agent.id),
      spiffeId: agent.spiffeId,
      tlsChain: [Buffer.from(tls), Buffer.from(issuer.certificate.der)],
      decryptionChain: decryption,
      renewalToken: agent.renewalToken,
      generation: agent.generation,
      serverTime: this.now(),
      active: true,
      properties: { cluster: 'a' },
    };
    const response: EnrollResponse = { issued, trustBundle: this.trustBundle() };
    this.twist(issued, response);
    return response;
  }

  #nextSerial(): Uint8Array {
    this.#serial += 1;
    return Buffer.concat([
      Buffer.from('4a000001', 'hex'),
      randomBytes(11),
      Buffer.of(this.#serial),
    ]);
  }

  #validity(): { readonly notBefore: Date; readonly notAfter: Date } {
    const now = this.now().getTime();
    return {
      notBefore: new Date(now - this.backdateMs),
      notAfter: new Date(now + this.lifetimeMs),
    };
  }
}

class RefusedError extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.reason);
    this.refusal = refusal;
  }
}

/** As the service answers everybody it does not believe. */
function refused(why: string): RefusedError {
  return new RefusedError({ code: 7, reason: 'refused', ...{ why } });
}

function statusOf({ code, reason, retryAfterMs }: Refusal): object {
  const metadata = new Metadata();
  metadata.set('sidekey-reason', reason);
  if (retryAfterMs !== undefined) metadata.set('sidekey-retry-after-ms', String(retryAfterMs));
  return Object.assign(new Error(reason), { code, details: reason, metadata });
}

function keyDigest(key: KeyObject): string {
  return Buffer.from(hash('sha256', key.export({ type: 'spki', format: 'der' }))).toString('hex');
}

/** Node's own reading of a chain's first certificate. */
export function leafOf(chain: readonly Uint8Array[]): X509Certificate {
  const [leaf] = chain;
  if (leaf === undefined) throw new Error('no certificate');
  return new X509Certificate(leaf);
}
