import { expect } from 'chai';
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { createServer, type Server } from 'node:tls';
import { parseCertificate } from '../../src/pki/certificate.ts';
import { encodePem } from '../../src/pki/pem.ts';
import { exportPkcs8Pem } from '../../src/pki/private-key.ts';
import {
  issueOcspResponse,
  mustStapleExtension,
  ocspGood,
  ocspRevoked,
  ocspUnknown,
} from '../support/ocsp-response.ts';
import {
  basicConstraints,
  extendedKeyUsage,
  keyUsage,
  rawCertificate,
  type RawIssued,
  subjectAltNames,
} from '../support/raw-certificate.ts';
import { startTestSidecar, type TestSidecar } from './fixture.ts';
import { ByteSource } from './model-callers/byte-source.ts';
import { CallerError, type CallerResult, goClient } from './model-callers/s2a-go.ts';
import { connectWire, type WireClient, type WireMessage } from './model-callers/wire.ts';

const HOUR = 3_600_000;
const name = 'stapling.example.org';

describe('stapled OCSP responses of node:tls servers (RFC 6066 §8, RFC 6960, RFC 7633)', () => {
  let sidecar: TestSidecar;
  let wire: WireClient;
  let root: RawIssued;
  let plain: RawIssued;
  let promising: RawIssued;

  before(async () => {
    sidecar = await startTestSidecar();
    wire = connectWire(sidecar.address);
    const { certificate: der, parsed: certificate, privateKey } = sidecar.ca;
    root = { der, certificate, privateKey, publicKey: certificate.publicKey };
    plain = leaf(1, []);
    promising = leaf(2, [mustStapleExtension()]);
  });

  after(async () => {
    wire.close();
    await sidecar.close();
  });

  function leaf(number: number, more: readonly Uint8Array[]): RawIssued {
    return rawCertificate({
      subject: 'server',
      issuer: root,
      serialNumber: Uint8Array.of(0x7e, number),
      ...day(),
      extensions: [
        basicConstraints({}),
        keyUsage(['digitalSignature']),
        extendedKeyUsage(['serverAuth']),
        subjectAltNames({ dnsNames: [name] }),
      ],
      more,
    });
  }

  /** Signed by a responder of the CA, as is usual. */
  function staple(about: RawIssued, status: Uint8Array, ageMs = 0): Buffer {
    const responder = rawCertificate({
      subject: 'responder',
      issuer: root,
      ...day(),
      extensions: [keyUsage(['digitalSignature']), extendedKeyUsage(['ocspSigning'])],
    });
    const thisUpdate = new Date(Date.now() - HOUR - ageMs);
    const nextUpdate = new Date(Date.now() + HOUR - ageMs);
    const { certificate: issuer } = root;
    return Buffer.from(
      issueOcspResponse({
        responder,
        answers: [{ leaf: about.certificate, issuer, status, thisUpdate, nextUpdate }],
        producedAt: thisUpdate,
        certificates: [responder.der],
      }),
    );
  }

  async function listen(identity: RawIssued, responses: readonly (Buffer | null)[]) {
    const server = createServer({
      key: Buffer.from(exportPkcs8Pem(identity.privateKey)),
      cert: Buffer.from(encodePem('CERTIFICATE', identity.der)),
      maxVersion: 'TLSv1.2',
      ALPNProtocols: ['h2'],
    });
    let asked = 0;
    server.on('OCSPRequest', (certificate: Buffer, _issuer: Buffer, answer: Answer) => {
      expect(parseCertificate(certificate).serialNumber).to.deep.equal(
        identity.certificate.serialNumber,
      );
      answer(null, responses[asked] ?? null);
      asked += 1;
    });
    server.on('tlsClientError', () => undefined);
    server.on('secureConnection', (socket) => socket.on('error', () => socket.destroy()));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return { server, asked: () => asked };
  }

  async function dial(server: Server): Promise<WireMessage | CallerError> {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    await once(socket, 'connect');
    try {
      const start = { target_name: name };
      const { result }: CallerResult = await goClient({
        wire,
        socket,
        source: new ByteSource(socket),
        start,
      });
      return result;
    } catch (error) {
      if (error instanceof CallerError) return error;
      throw error;
    } finally {
      socket.destroy();
    }
  }

  const revoked = ocspRevoked(new Date(Date.now() - HOUR), 1);
  const unmet = ['bad_certificate_status_response', 'must_staple_unmet'] as const;
  const rows: readonly {
    readonly title: string;
    readonly identity: () => RawIssued;
    readonly response: () => Buffer | null;
    readonly refused?: readonly [string, string];
  }[] = [
    {
      title: 'one that says good',
      identity: () => plain,
      response: () => staple(plain, ocspGood),
    },
    {
      title: 'one that says revoked',
      identity: () => plain,
      response: () => staple(plain, revoked),
      refused: ['certificate_revoked', 'certificate_revoked'],
    },
    {
      title: 'one that is over and said revoked',
      identity: () => plain,
      response: () => staple(plain, revoked, 3 * HOUR),
    },
    { title: 'none', identity: () => plain, response: () => null },
    { title: 'one that is garbage', identity: () => plain, response: () => Buffer.from('?') },
    {
      title: 'one that says good, as promised',
      identity: () => promising,
      response: () => staple(promising, ocspGood),
    },
    {
      title: 'one that says revoked, which is not what was promised',
      identity: () => promising,
      response: () => staple(promising, revoked),
      refused: ['certificate_revoked', 'certificate_revoked'],
    },
    {
      title: 'none, though promised',
      identity: () => promising,
      response: () => null,
      refused: unmet,
    },
    {
      title: 'one that says unknown, though good was promised',
      identity: () => promising,
      response: () => staple(promising, ocspUnknown),
      refused: unmet,
    },
    {
      title: 'that of another certificate, though one was promised',
      identity: () => promising,
      response: () => staple(plain, ocspGood),
      refused: unmet,
    },
  ];
  for (const { title, identity, response, refused } of rows) {
    it(`${refused === undefined ? 'takes' : 'refuses'} a server with ${title}`, async () => {
      const { server, asked } = await listen(identity(), [response()]);
      const before = sidecar.log.length;
      const outcome = await dial(server);
      server.close();
      expect(asked()).to.equal(1);
      if (refused === undefined) {
        expect(outcome).to.have.property('peer_cert_fingerprint').with.length(32);
        return;
      }
      expect(outcome).to.be.instanceOf(CallerError);
      const [alert, reason] = refused;
      const failures = sidecar.log.slice(before).filter(({ msg }) => msg === 'handshake failed');
      expect(failures).to.have.length(1);
      expect(failures[0]).to.include({ alert, reason });
    });
  }

  it('asks anew each time: a chain taken before is refused once it is revoked', async () => {
    const responses = [staple(promising, ocspGood), staple(promising, revoked)];
    const { server } = await listen(promising, responses);
    expect(await dial(server)).to.not.be.instanceOf(CallerError);
    expect(await dial(server)).to.be.instanceOf(CallerError);
    server.close();
  });
});

type Answer = (error: Error | null, response: Buffer | null) => void;

function day(): { notBefore: Date; notAfter: Date } {
  return {
    notBefore: new Date(Date.now() - 24 * HOUR),
    notAfter: new Date(Date.now() + 24 * HOUR),
  };
}
