import { sign } from 'node:crypto';
import type { Authority } from '../../../src/ca/index.ts';
import { OcspSigners } from '../../../src/ca/revocation/ocsp-signers.ts';
import { revokeCertificates } from '../../../src/ca/revocation/revoke-certificates.ts';
import { revokeOperation, type RevokeItem } from '../../../src/ca/revocation/revoke-operation.ts';
import type { RotationKind, RotationStep } from '../../../src/ca/rotation/index.ts';
import { confirmContent, renewalContent } from '../../../src/ca/service/proof.ts';
import { readFile } from '../issue/authority-fixture.ts';
import type { KeyPair } from '../../../src/crypto/key-generation.ts';
import { createCertificateRequest, parseCertificate } from '../../../src/pki/index.ts';

/** Something asked of an authority, as it can be told to another process. */
export type Deed =
  | {
      readonly kind: 'enroll';
      readonly token: string;
      readonly credential: Uint8Array;
      readonly tlsRequest: Uint8Array;
    }
  | {
      readonly kind: 'renew';
      readonly token: string;
      readonly current: Uint8Array;
      readonly tlsRequest: Uint8Array;
      readonly proof: Uint8Array;
    }
  | { readonly kind: 'confirm'; readonly current: Uint8Array; readonly proof: Uint8Array }
  | { readonly kind: 'mint'; readonly key: string; readonly count: number }
  | { readonly kind: 'revoke'; readonly subject: RevokeItem['subject'] }
  | { readonly kind: 'rotate'; readonly of: RotationKind; readonly step: RotationStep }
  | { readonly kind: 'revoke-and-publish'; readonly serial: Uint8Array }
  | { readonly kind: 'ocsp' };

/** What a host was given: a leaf certificate and the token to renew it. */
export interface Given {
  readonly leaf: Uint8Array;
  readonly renewalToken: string;
}

/** Does it. Answers what a host was given, or the ids of tokens; otherwise nothing. */
export async function perform(
  authority: Authority,
  deed: Deed,
): Promise<Given | readonly string[] | undefined> {
  const caller = { name: 'owner', source: 'unix' };
  switch (deed.kind) {
    case 'enroll': {
      const { token, tlsRequest } = deed;
      const issued = await authority.issuance.enroll({
        ...origin(authority, deed.credential),
        token,
        tlsRequest,
        decryptionRequest: new Uint8Array(0),
        report: undefined,
      });
      return { leaf: issued.tlsChain[0]!, renewalToken: issued.renewalToken };
    }
    case 'renew': {
      const { token, tlsRequest, proof, current } = deed;
      const issued = await authority.issuance.renew({
        ...origin(authority, current),
        token,
        tlsRequest,
        decryptionRequest: new Uint8Array(0),
        proof,
        currentSerial: parseCertificate(current).serialNumber,
        report: undefined,
      });
      return { leaf: issued.tlsChain[0]!, renewalToken: issued.renewalToken };
    }
    case 'confirm':
      await authority.issuance.confirm({
        ...origin(authority, deed.current),
        serial: parseCertificate(deed.current).serialNumber,
        proof: deed.proof,
      });
      return undefined;
    case 'mint':
      return (await mint(authority, deed)).map(({ token }) => token);
    case 'revoke':
      await authority.context.writer.submit(revokeOperation, {
        subject: deed.subject,
        order: { reason: 'keyCompromise', by: caller.name },
      });
      return undefined;
    case 'rotate':
      await authority.rotation.advance({
        kind: deed.of,
        step: deed.step,
        force: { reason: 'a test of crashes' },
        caller,
      });
      return undefined;
    case 'revoke-and-publish':
      await authority.context.store.transact((transaction) =>
        revokeCertificates(transaction, [deed.serial], {
          reason: 'keyCompromise',
          by: caller.name,
        }),
      );
      await authority.crls.publish();
      return undefined;
    case 'ocsp': {
      const signers = new OcspSigners(authority.context);
      await signers.signerOf(authority.context.generations.signing('issuing'));
      return undefined;
    }
  }
}

/** A token with the credential of its bundle. */
export interface Minted {
  readonly token: string;
  readonly credential: Uint8Array;
}

export async function mint(
  authority: Authority,
  { key, count, cap = 1 }: { readonly key: string; readonly count: number; readonly cap?: number },
): Promise<readonly Minted[]> {
  const minted: Minted[] = [];
  const batches = authority.mint.mint({
    key,
    role: 'agent',
    properties: { made: 'here' },
    lifetimeMs: 3_600_000,
    count,
    cap,
    policy: undefined,
    caller: { name: 'owner', source: 'unix' },
  });
  for await (const { bundles } of batches) {
    for (const { file } of bundles) {
      const { token, credential } = readFile(file);
      minted.push({ token, credential });
    }
  }
  return minted;
}

export function enrollDeed({ token, credential }: Minted, keys: KeyPair): Deed {
  return { kind: 'enroll', token, credential, tlsRequest: createCertificateRequest(keys) };
}

export function renewDeed(given: Given, current: KeyPair, next: KeyPair): Deed {
  const tlsRequest = createCertificateRequest(next);
  const content = renewalContent(tlsRequest, new Uint8Array(0), given.renewalToken);
  return {
    kind: 'renew',
    token: given.renewalToken,
    current: given.leaf,
    tlsRequest,
    proof: sign('sha256', content, current.privateKey),
  };
}

export function confirmDeed({ leaf }: Given, keys: KeyPair): Deed {
  const content = confirmContent(parseCertificate(leaf).serialNumber);
  return { kind: 'confirm', current: leaf, proof: sign('sha256', content, keys.privateKey) };
}

function origin(authority: Authority, leaf: Uint8Array) {
  const peer = authority.identify(leaf);
  if (peer === undefined) throw new Error('the authority does not know this peer');
  return { peer, source: '192.0.2.1' };
}
