import { FakeSource } from '../sidecar/support/fake-source.ts';
import type { IssuedIdentity, IssueOptions, TestCa } from './test-ca.ts';

/** Of an agent or manager of tests. */
export const trustDomain = 'fleet.test';

/** A SPIFFE ID as the authority gives them. */
export function fleetId(role: string, uuid: string): string {
  return `spiffe://${trustDomain}/${role}/${uuid}`;
}

/** A host that enrolled: one key for TLS, another for decryption. */
export interface EnrolledHost {
  readonly source: FakeSource;
  readonly spiffeId: string;
  readonly tls: IssuedIdentity;
  readonly decryption: IssuedIdentity;
}

export interface HostOptions {
  readonly decryptionKind?: 'ecdsa-p256' | 'rsa';
  readonly tls?: IssueOptions;
}

/** Enrols with a test CA, which gives the usages that the authority does. */
export function enrolledHost(
  ca: TestCa,
  role: string,
  uuid: string,
  { decryptionKind = 'ecdsa-p256', tls = {} }: HostOptions = {},
): EnrolledHost {
  const spiffeId = fleetId(role, uuid);
  const issued = ca.issue({ uris: [spiffeId], ...tls });
  const decryption = ca.issue({
    uris: [spiffeId],
    keyKind: decryptionKind,
    keyUsage: [decryptionKind === 'rsa' ? 'keyEncipherment' : 'keyAgreement'],
    eku: ['emailProtection'],
  });
  const source = FakeSource.enrolled(ca, issued);
  source.decryption = {
    version: '1',
    privateKey: decryption.privateKey,
    chain: decryption.chain,
  };
  return { source, spiffeId, tls: issued, decryption };
}
