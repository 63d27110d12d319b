import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAuthorityDialler } from '../../src/apps/in-process-tls/dial-authority.ts';
import { generateKeyPair } from '../../src/crypto/key-generation.ts';
import type { IssuedCertificates } from '../../src/gen/sidekey/v1/certificate_authority.ts';
import { AuthorityLink } from '../../src/identity/authority-link.ts';
import type { AuthorityCredential } from '../../src/identity/dial.ts';
import { type EnrolmentBundle, parseEnrolmentBundle } from '../../src/identity/enrolment-bundle.ts';
import { proveArrival, proveRenewal } from '../../src/identity/proof.ts';
import { createCertificateRequest } from '../../src/pki/index.ts';

/** A host as far as an authority can tell: keys, requests, and what it was answered. */
export interface SimulatedHost {
  readonly bundle: EnrolmentBundle;
  tlsKey: KeyObject;
  requests: Requests;
  issued: IssuedCertificates | undefined;
}

export interface Requests {
  readonly tls: Buffer;
  /** Empty: no certificate for decryption is wanted. */
  readonly decryption: Buffer;
}

/** What each host asks for. */
export interface HostKeys {
  readonly certificates: 1 | 2;
  /** Keys for all of them; absent: each has its own. */
  readonly shared?: ReturnType<typeof makeRequests>;
}

/** Hosts for all bundle files of a directory. */
export function makeHosts(
  directory: string,
  { certificates, shared }: HostKeys = { certificates: 2 },
): SimulatedHost[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.bundle'))
    .map((name) => {
      const bundle = parseEnrolmentBundle(readFileSync(join(directory, name)));
      return { bundle, ...(shared ?? makeRequests(certificates)), issued: undefined };
    });
}

/** New keys, as a sidecar makes them. */
export function makeRequests(certificates: 1 | 2 = 2): {
  readonly tlsKey: KeyObject;
  readonly requests: Requests;
} {
  const tlsKey = generateKeyPair('ecdsa-p256').privateKey;
  const decryption =
    certificates === 1 ? Buffer.alloc(0) : request(generateKeyPair('ecdsa-p256').privateKey);
  return { tlsKey, requests: { tls: request(tlsKey), decryption } };
}

function request(privateKey: KeyObject): Buffer {
  return Buffer.from(
    createCertificateRequest({ publicKey: createPublicKey(privateKey), privateKey }),
  );
}

/** A connection to the authority, with the enrol-only credential unless told. */
export function openLink(
  bundle: EnrolmentBundle,
  credential: AuthorityCredential = bundle.credential,
): AuthorityLink {
  return new AuthorityLink({
    dial,
    random: Math.random,
    target: () => ({
      addresses: bundle.addresses,
      credential,
      expectation: { trustDomain: bundle.trustDomain, roots: bundle.roots, intermediates: [] },
    }),
  });
}

const dial = createAuthorityDialler({ now: () => new Date() });

export async function enroll(host: SimulatedHost, link: AuthorityLink): Promise<void> {
  const { issued } = await link.enroll({
    token: host.bundle.token,
    tlsRequest: host.requests.tls,
    decryptionRequest: host.requests.decryption,
    report: undefined,
  });
  if (issued === undefined) throw new Error('an empty answer');
  host.issued = issued;
}

/** A renewal with its proof made beforehand, ready to be sent. */
export interface PreparedRenewal {
  readonly host: SimulatedHost;
  readonly proof: Buffer;
  readonly serial: Buffer;
  readonly next: ReturnType<typeof makeRequests>;
}

export async function prepareRenewal(host: SimulatedHost): Promise<PreparedRenewal> {
  const { issued } = host;
  if (issued === undefined) throw new Error('not enrolled');
  const next = makeRequests(issued.decryptionChain.length === 0 ? 1 : 2);
  const proof = await proveRenewal(host.tlsKey, {
    tlsRequest: next.requests.tls,
    decryptionRequest: next.requests.decryption,
    renewalToken: issued.renewalToken,
  });
  return { host, proof: Buffer.from(proof), serial: serialOf(issued), next };
}

export async function renew(
  { host, proof, serial, next }: PreparedRenewal,
  link: AuthorityLink,
): Promise<void> {
  const { issued } = await link.renew({
    renewalToken: host.issued?.renewalToken ?? '',
    tlsRequest: next.requests.tls,
    decryptionRequest: next.requests.decryption,
    proof,
    currentSerial: serial,
    report: undefined,
  });
  if (issued === undefined) throw new Error('an empty answer');
  host.issued = issued;
  host.tlsKey = next.tlsKey;
}

/** As a host does with every new certificate. */
export async function confirm(host: SimulatedHost, link: AuthorityLink): Promise<void> {
  if (host.issued === undefined) throw new Error('not enrolled');
  const serial = serialOf(host.issued);
  await link.confirm({ serial, proof: Buffer.from(await proveArrival(host.tlsKey, serial)) });
}

export function serialOf(issued: IssuedCertificates): Buffer {
  const leaf = issued.tlsChain[0];
  if (leaf === undefined) throw new Error('no certificate');
  return Buffer.from(new X509Certificate(leaf).serialNumber, 'hex');
}

export function credentialOf(host: SimulatedHost): AuthorityCredential {
  return { privateKey: host.tlsKey, chain: host.issued?.tlsChain ?? [] };
}
