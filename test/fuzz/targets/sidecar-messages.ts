import { SessionResp } from '../../../src/gen/s2a/proto/s2a.ts';
import { frameMessage, MessageReader } from '../../../src/rpc/client/grpc-framing.ts';
import { OffloadError } from '../../../src/offload/errors.ts';
import { checkSession } from '../../../src/offload/session.ts';
import { decodeResponse, encodeRequest } from '../../../src/offload/sidecar-codec.ts';
import type { SidecarRequest } from '../../../src/offload/sidecar-messages.ts';
import { ServiceError } from '../../../src/rpc/errors.ts';
import { decodeRequest } from '../../../src/sidecar/session-messages.ts';
import { cipherSuites } from '../../../src/tls/cipher-suites.ts';
import { plain } from '../../support/codec-suite.ts';
import { byteMutator } from '../mutator.ts';
import { pieces, randomOf } from '../random.ts';
import { broken, isA, kindOf, mustAgree, valueOrError, type Target } from '../target.ts';

/** What applications send to a sidecar. */
export const sidecarRequests: Target = {
  name: 'sidecar-requests',
  seeds: () => requests.map(encodeRequest),
  mutate: byteMutator(),
  check(input) {
    const outcome = valueOrError(() => decodeRequest(input), isA(ServiceError));
    if ('value' in outcome) return outcome.value.tag;
    const { status, reason, message } = outcome.error;
    return `${status} ${reason} ${message.split(':')[0] ?? ''}`;
  },
};

/** What a sidecar, or who has taken its place, answers an application. */
export const sidecarResponses: Target = {
  name: 'sidecar-responses',
  seeds: () =>
    responses().map((response) => Uint8Array.from(SessionResp.encode(response).finish())),
  mutate: byteMutator(),
  check(input) {
    const bytes = Uint8Array.from(input);
    const outcome = valueOrError(() => decodeResponse(bytes), isA(Error));
    if ('error' in outcome) return kindOf(outcome.error);
    const before = JSON.stringify(plain(withoutBigInts(outcome.value)));
    bytes.fill(0);
    const after = JSON.stringify(plain(withoutBigInts(outcome.value)));
    if (before !== after) broken('what was decoded is a view of the message');
    const { session, failure } = outcome.value;
    if (session === undefined) return failure === undefined ? 'frames' : 'failure';
    const expectation = {
      role: 'client',
      clientAuth: undefined,
      applicationProtocols: ['h2'],
      keyingMaterial: [{ label: 'EXPORTER-x', length: 4 }],
    } as const;
    const checked = valueOrError(
      () => checkSession(session, expectation, undefined),
      isA(OffloadError),
    );
    if ('error' in checked) return kindOf(checked.error);
    const { cipherSuite, read, write, applicationProtocol } = checked.value;
    for (const { key, fixedNonce, sequenceNumber } of [read, write]) {
      const fits =
        key.length === cipherSuite.keyLength &&
        fixedNonce.length === cipherSuite.fixedNonceLength &&
        sequenceNumber >= 0n &&
        sequenceNumber < 1n << 64n;
      if (!fits) broken('a session whose keys do not fit');
    }
    if (applicationProtocol !== undefined && applicationProtocol !== 'h2') {
      broken('a protocol nobody asked for');
    }
    return `session ${cipherSuite.name}`;
  },
};

/** gRPC's messages in DATA frames. */
export const grpcFrames: Target = {
  name: 'grpc-frames',
  seeds: () => [
    Buffer.concat([frameMessage(Buffer.from('one')), frameMessage(new Uint8Array(0))]),
    frameMessage(new Uint8Array(600).fill(7)),
  ],
  mutate: byteMutator([Buffer.from('0000000001', 'hex'), Buffer.from('00ffffffff', 'hex')]),
  check(input) {
    const whole = readFrames([input]);
    mustAgree('cut otherwise', readFrames(pieces(input, randomOf(input))), whole);
    return `${String(Math.min(whole.length, 5))} ${whole.at(-1)?.slice(0, 20) ?? ''}`;
  },
};

/**
 * All messages, or the error alone: messages before it in the same piece of the stream are lost
 * with the stream, so how many of them were seen depends on the cut.
 */
function readFrames(chunks: readonly Uint8Array[]): readonly string[] {
  const reader = new MessageReader();
  const messages: string[] = [];
  try {
    for (const chunk of chunks) {
      for (const message of reader.push(Uint8Array.from(chunk))) {
        messages.push(Buffer.from(message).toString('hex'));
        message.fill(0);
      }
    }
  } catch (error) {
    if (error instanceof Error && error.constructor === Error) return [kindOf(error)];
    throw error;
  }
  return messages;
}

function withoutBigInts(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Uint8Array || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(withoutBigInts);
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]) => [key, withoutBigInts(entry)]),
  );
}

const keyingMaterial = [
  { label: 'EXPORTER-x', length: 32 },
  { label: 'EXPORTER-y', length: 20, context: Uint8Array.of(1) },
];

const requests: readonly SidecarRequest[] = [
  {
    type: 'start',
    start: {
      role: 'client',
      applicationProtocols: ['h2', 'http/1.1'],
      targetName: 'server.test:443',
      targetIdentities: [
        { type: 'spiffe', id: 'spiffe://domain.test/server' },
        { type: 'hostname', name: 'server.test' },
      ],
      identity: 'web',
      anonymous: false,
      keyingMaterial,
    },
    bytes: new Uint8Array(0),
    token: 'secret',
    keepStream: true,
  },
  {
    type: 'start',
    start: {
      role: 'server',
      applicationProtocols: ['grpc'],
      identities: ['web'],
      clientAuth: 'require',
      keyingMaterial,
    },
    bytes: Uint8Array.of(22, 3, 1, 0, 1, 1),
    token: undefined,
    keepStream: false,
  },
  { type: 'next', bytes: Uint8Array.of(22, 3, 3, 0, 4, 14, 0, 0, 0) },
];

function responses(): readonly SessionResp[] {
  const empty = SessionResp.decode(new Uint8Array(0));
  const suite = cipherSuites[0]!;
  const keys = Buffer.alloc(suite.keyLength, 5);
  const nonce = Buffer.alloc(suite.fixedNonceLength, 6);
  const identity = {
    identityOneof: { $case: 'hostname', value: 'server.test' },
    attributes: {},
  } as const;
  return [
    { ...empty, outFrames: Buffer.from('160303000401000000', 'hex'), bytesConsumed: 9 },
    {
      ...empty,
      status: { code: 3, details: 'no' },
      failure: {
        reason: 'unknown_ca',
        alert: 48,
        alertSent: true,
        alertReceived: false,
        phase: 'ExpectCertificate',
        retryAfterMs: 5,
      },
    },
    {
      ...empty,
      handshakeId: 'abc',
      status: { code: 0, details: '' },
      result: {
        applicationProtocol: 'h2',
        state: {
          tlsVersion: 0,
          tlsCiphersuite: 0,
          inSequence: 1n,
          outSequence: 1n,
          inKey: keys,
          outKey: keys,
          inFixedNonce: nonce,
          outFixedNonce: nonce,
          connectionId: 1n,
          isHandshakeResumed: false,
        },
        peerIdentity: identity,
        localIdentity: identity,
        localCertFingerprint: Buffer.alloc(32, 1),
        peerCertFingerprint: Buffer.alloc(32, 2),
        peerCertificates: [Buffer.from('3000', 'hex')],
        localCertificates: [Buffer.from('3000', 'hex')],
        cipherSuite: suite.code,
        namedGroup: 23,
        signatureScheme: 0x0403,
        keyingMaterial: [Buffer.from('01020304', 'hex')],
        serverName: 'server.test',
        extendedMasterSecret: true,
        localFinished: Buffer.alloc(12, 3),
        peerFinished: Buffer.alloc(12, 4),
        peerPublicKeyHash: Buffer.alloc(32, 5),
        peerPinned: false,
      },
    },
  ];
}
