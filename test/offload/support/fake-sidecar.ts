import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Metadata,
  Server,
  ServerCredentials,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerUnaryCall,
} from '@grpc/grpc-js';
import {
  S2AServiceService,
  SessionFailure,
  type SessionReq,
  SessionResp,
  SessionResult,
} from '../../../src/gen/s2a/proto/s2a.ts';
import {
  type ListIdentitiesRequest,
  ListIdentitiesResponse,
  WorkloadServiceService,
} from '../../../src/gen/sidekey/v1/workload.ts';
import {
  AlertDescription,
  type AlertName,
  encodeAlert,
  TlsAlertError,
} from '../../../src/tls/alert.ts';
import { type CipherSuite, cipherSuites } from '../../../src/tls/cipher-suites.ts';
import { Deframer, encodeRecord, type TlsRecord } from '../../../src/tls/record/framing.ts';
import { ContentType } from '../../../src/tls/registries.ts';

/** What a test may change about the fake. */
export interface FakeBehaviour {
  suite: CipherSuite;
  /** Whether `keep_stream` is obeyed. */
  keepsStreams: boolean;
  peerCertificates: Buffer[];
  /** Refuses a start message in the first response. */
  refuseStart:
    | ((
        request: SessionReq,
      ) => { code: number; details: string; failure?: Partial<SessionFailure> } | undefined)
    | undefined;
  /** Sends this alert instead of the last flight. */
  failWith: { alert: 'unknown_ca'; reason: string } | undefined;
  /** Ends the stream with this status once the peer's turn has come. */
  givesUpOnPeers: { code: number; details: string } | undefined;
  /** Last word on every response. */
  tamper: ((response: SessionResp) => SessionResp | undefined) | undefined;
  ready: boolean;
}

/**
 * Speaks the sidecar's protocol over real gRPC, but its handshake is a toy: two flights of readable
 * records and keys derived from two public numbers. Both ends of a connection can use it.
 */
export class FakeSidecar {
  readonly behaviour: FakeBehaviour = {
    suite: cipherSuites[0]!,
    keepsStreams: true,
    peerCertificates: [],
    refuseStart: undefined,
    failWith: undefined,
    givesUpOnPeers: undefined,
    tamper: undefined,
    ready: true,
  };
  readonly starts: SessionReq[] = [];
  streams = 0;
  openStreams = 0;
  handshakes = 0;
  requests = 0;
  #server: Server | undefined;
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async start(): Promise<FakeSidecar> {
    const fake = new FakeSidecar(await mkdtemp(join(tmpdir(), 'fake-sidecar-')));
    await fake.listen();
    return fake;
  }

  get address(): string {
    return `unix:${join(this.#directory, 's')}`;
  }

  get path(): string {
    return join(this.#directory, 's');
  }

  file(name: string): string {
    return join(this.#directory, name);
  }

  async listen(): Promise<void> {
    const server = new Server();
    server.addService(S2AServiceService, {
      setUpSession: (call: ServerDuplexStream<SessionReq, SessionResp>) => {
        this.#serve(call);
      },
    });
    server.addService(WorkloadServiceService, {
      listIdentities: (
        _call: ServerUnaryCall<ListIdentitiesRequest, ListIdentitiesResponse>,
        done: sendUnaryData<ListIdentitiesResponse>,
      ) => {
        done(
          null,
          ListIdentitiesResponse.fromPartial({
            trustGeneration: 3n,
            identities: [
              {
                name: 'web',
                isDefault: true,
                ready: this.behaviour.ready,
                dnsNames: ['localhost'],
              },
            ],
          }),
        );
      },
    });
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(this.address, ServerCredentials.createInsecure(), (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
    this.#server = server;
  }

  /** As kill -9 would: all streams break. */
  async stop(): Promise<void> {
    this.#server?.forceShutdown();
    this.#server = undefined;
    await rm(this.path, { force: true });
  }

  async close(): Promise<void> {
    await this.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }

  #serve(call: ServerDuplexStream<SessionReq, SessionResp>): void {
    this.streams += 1;
    this.openStreams += 1;
    let ended = false;
    const closed = (): void => {
      if (!ended) this.openStreams -= 1;
      ended = true;
    };
    let handshake: ToyHandshake | undefined;
    let keep = false;
    call.on('data', (request: SessionReq) => {
      this.requests += 1;
      const kind = request.reqOneof?.$case;
      if (kind === 'clientStart' || kind === 'serverStart') {
        this.starts.push(request);
        keep = request.keepStream && this.behaviour.keepsStreams;
        const refusal = this.behaviour.refuseStart?.(request);
        if (refusal !== undefined) {
          const { code, details, failure } = refusal;
          call.write(
            SessionResp.fromPartial({
              status: { code, details },
              handshakeId: 'fake-refused',
              failure: failure === undefined ? undefined : SessionFailure.fromPartial(failure),
            }),
          );
          call.emit('error', { code, details, metadata: new Metadata() });
          return;
        }
        handshake = new ToyHandshake(request, this.behaviour, ++toyHandshakes);
      }
      if (handshake === undefined) {
        call.emit('error', { code: 9, details: 'no start message', metadata: new Metadata() });
        return;
      }
      const answer = handshake.answer(request);
      const response = this.behaviour.tamper === undefined ? answer : this.behaviour.tamper(answer);
      if (response === undefined) return;
      call.write(response);
      if (response.result !== undefined) {
        this.handshakes += 1;
        handshake = undefined;
        if (!keep) call.end();
      } else if (response.status?.code !== 0) {
        call.emit('error', { ...response.status, metadata: new Metadata() });
      } else if (this.behaviour.givesUpOnPeers !== undefined) {
        call.emit('error', { ...this.behaviour.givesUpOnPeers, metadata: new Metadata() });
      }
    });
    call.on('end', () => {
      call.end();
    });
    call.on('finish', closed);
    call.on('cancelled', closed);
    call.on('error', closed);
  }
}

class ToyHandshake {
  readonly #request: SessionReq;
  readonly #behaviour: FakeBehaviour;
  readonly #number: number;
  readonly #nonce: string;
  readonly #deframer = new Deframer('plaintext');
  #protocol = '';
  #peerNonce = '';
  #serverName = '';

  constructor(request: SessionReq, behaviour: FakeBehaviour, number: number) {
    this.#request = request;
    this.#behaviour = behaviour;
    this.#number = number;
    this.#nonce = `n${String(number)}`;
  }

  answer(request: SessionReq): SessionResp {
    const bytes = inBytesOf(request);
    const response = SessionResp.fromPartial({
      status: { code: 0, details: '' },
      bytesConsumed: bytes.length,
      handshakeId: `fake-${String(this.#number)}`,
    });
    if (request.reqOneof?.$case === 'clientStart') {
      const { applicationProtocols, targetName } = request.reqOneof.value;
      response.outFrames = toyRecord(
        'client_hello',
        this.#nonce,
        applicationProtocols.join('|'),
        targetName,
      );
      return response;
    }
    this.#deframer.push(bytes);
    for (;;) {
      const next = this.#nextRecord();
      if (next === 'broken') return this.#failed(response, 'unexpected_message', 'no_tls');
      if (next === undefined) return response;
      if (next.type === ContentType.alert) return this.#failedByPeer(response, next.record[6]!);
      const [name, ...fields] = Buffer.from(next.record.subarray(5)).toString().split(',');
      const done = this.#message(name!, fields, response);
      if (!done) continue;
      response.bytesConsumed = bytes.length - this.#deframer.bufferedBytes;
      return response;
    }
  }

  #message(name: string, fields: string[], response: SessionResp): boolean {
    const { failWith } = this.#behaviour;
    switch (name) {
      case 'client_hello': {
        this.#peerNonce = fields[0]!;
        this.#serverName = fields[2]!;
        const offered = fields[1]!.split('|');
        const own =
          this.#request.reqOneof?.$case === 'serverStart'
            ? this.#request.reqOneof.value.applicationProtocols
            : [];
        this.#protocol = own.find((protocol) => offered.includes(protocol)) ?? '';
        response.outFrames = toyRecord('server_hello', this.#nonce, this.#protocol);
        return false;
      }
      case 'server_hello':
        this.#peerNonce = fields[0]!;
        this.#protocol = fields[1]!;
        response.outFrames = toyRecord('client_finished');
        return false;
      case 'client_finished':
        if (failWith !== undefined) {
          this.#failed(response, failWith.alert, failWith.reason);
          return true;
        }
        response.outFrames = toyRecord('server_finished');
        response.result = this.#result('server');
        return true;
      case 'server_finished':
        response.result = this.#result('client');
        return true;
      default:
        throw new Error(`toy message ${name}`);
    }
  }

  #nextRecord(): TlsRecord | 'broken' | undefined {
    try {
      return this.#deframer.next();
    } catch (error) {
      if (error instanceof TlsAlertError) return 'broken';
      throw error;
    }
  }

  #failed(response: SessionResp, alert: AlertName, reason: string): SessionResp {
    response.outFrames = Buffer.from(
      encodeRecord(ContentType.alert, 0x0303, encodeAlert('fatal', alert)),
    );
    response.status = { code: 9, details: 'the toy handshake failed' };
    response.failure = SessionFailure.fromPartial({
      reason,
      alert: AlertDescription[alert],
      alertSent: true,
      phase: 'ExpectFinished',
    });
    return response;
  }

  #failedByPeer(response: SessionResp, alert: number): SessionResp {
    response.status = { code: 9, details: 'peer sent an alert' };
    response.failure = SessionFailure.fromPartial({
      reason: 'peer_alert',
      alert,
      alertReceived: true,
      phase: 'ExpectServerHello',
    });
    return response;
  }

  #result(role: 'client' | 'server'): SessionResult {
    const { suite, peerCertificates } = this.#behaviour;
    const [client, server] =
      role === 'client' ? [this.#nonce, this.#peerNonce] : [this.#peerNonce, this.#nonce];
    const keys = (writer: string) => ({
      key: derive(`${client}/${server}/${writer}/key`).subarray(0, suite.keyLength),
      nonce: derive(`${client}/${server}/${writer}/nonce`).subarray(0, suite.fixedNonceLength),
    });
    const peer = role === 'client' ? 'server' : 'client';
    const read = keys(peer);
    const write = keys(role);
    const requests =
      this.#request.reqOneof?.$case === 'clientStart' ||
      this.#request.reqOneof?.$case === 'serverStart'
        ? this.#request.reqOneof.value.keyingMaterial
        : [];
    return SessionResult.fromPartial({
      applicationProtocol: this.#protocol,
      state: {
        tlsVersion: 0,
        tlsCiphersuite: aeads[suite.aead],
        inSequence: 1n,
        outSequence: 1n,
        inKey: read.key,
        inFixedNonce: read.nonce,
        outKey: write.key,
        outFixedNonce: write.nonce,
        connectionId: role === 'client' ? BigInt(this.#number) : 0n,
      },
      peerIdentity: { identityOneof: { $case: 'spiffeId', value: `spiffe://test/${peer}` } },
      localIdentity: { identityOneof: { $case: 'spiffeId', value: `spiffe://test/${role}` } },
      peerCertFingerprint: derive(peer),
      peerCertificates,
      localCertificates: peerCertificates,
      cipherSuite: suite.code,
      namedGroup: 23,
      signatureScheme: 0x0403,
      serverName: role === 'server' ? this.#serverName : '',
      extendedMasterSecret: true,
      localFinished: derive(`${client}/${server}/${role}/finished`).subarray(0, 12),
      peerFinished: derive(`${client}/${server}/${peer}/finished`).subarray(0, 12),
      keyingMaterial: requests.map((request) =>
        derive(`${client}/${server}/${request.label}`).subarray(0, request.length),
      ),
    });
  }
}

function inBytesOf(request: SessionReq): Buffer {
  const { reqOneof } = request;
  if (reqOneof?.$case === 'next' || reqOneof?.$case === 'serverStart')
    return reqOneof.value.inBytes;
  return Buffer.alloc(0);
}

function toyRecord(...fields: string[]): Buffer {
  return Buffer.from(encodeRecord(ContentType.handshake, 0x0303, Buffer.from(fields.join(','))));
}

function derive(seed: string): Buffer {
  return createHash('sha256').update(seed).digest();
}

const aeads = { 'aes-128-gcm': 0, 'aes-256-gcm': 1, 'chacha20-poly1305': 2 } as const;
let toyHandshakes = 0;
