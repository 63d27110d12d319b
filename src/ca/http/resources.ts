import { toHex } from '../../bytes/bytes.ts';
import { encodePem } from '../../pki/index.ts';
import { readBundle, type StoredBundle } from '../trust/bundle-document.ts';
import type { Generation } from '../generations/generation.ts';
import { paths } from './urls.ts';

/** Something to be sent. */
export interface Resource {
  readonly body: Uint8Array;
  readonly type: string;
  /** Entity tag, quoted. */
  readonly tag?: string;
  readonly lastModified?: Date;
  /** How long others may keep it; absent: not at all. */
  readonly cache?: { readonly expires: Date; readonly maxAgeSeconds: number };
}

/** A CRL as it is served. */
export interface ServedCrl {
  readonly der: Uint8Array;
  readonly number: number;
  /** ms. */
  readonly thisUpdate: number;
  readonly nextUpdate: number;
}

/** Where what is served comes from. All of it is in memory. */
export interface ResourceSources {
  readonly crls: {
    complete(issuer: Uint8Array): ServedCrl | undefined;
    delta(issuer: Uint8Array): ServedCrl | undefined;
  };
  readonly generations: () => readonly Generation[];
  readonly bundle: () => StoredBundle | undefined;
}

/** What stands at a path; `undefined`: nothing. */
export function findResource(
  path: string,
  sources: ResourceSources,
  now: Date,
): Resource | undefined {
  switch (path) {
    case paths.roots:
      return rootsOf(sources.bundle(), now);
    case paths.bundle:
      return bundleOf(sources.bundle(), now);
    default:
      return ofIssuer(path, sources, now);
  }
}

function ofIssuer(path: string, sources: ResourceSources, now: Date): Resource | undefined {
  const [, id] = issuerPath.exec(path) ?? [];
  const issuer = sources.generations().find((generation) => toHex(generation.id) === id);
  if (issuer === undefined) return undefined;
  switch (path) {
    case paths.crl(issuer.id):
      return crlOf(sources.crls.complete(issuer.id), now, completeAgeSeconds);
    case paths.deltaCrl(issuer.id):
      return crlOf(sources.crls.delta(issuer.id), now, deltaAgeSeconds);
    case paths.certificate(issuer.id):
      return {
        body: issuer.certificate.der,
        type: 'application/pkix-cert',
        tag: `"${toHex(issuer.certificate.fingerprint.subarray(0, 16))}"`,
        cache: cacheFor(now, issuer.certificate.notAfter, dayS),
      };
    default:
      return undefined;
  }
}

/** RFC 2585 §4.2. */
function crlOf(crl: ServedCrl | undefined, now: Date, maxAgeSeconds: number): Resource | undefined {
  if (crl === undefined) return undefined;
  return {
    body: crl.der,
    type: 'application/pkix-crl',
    tag: `"${String(crl.number)}"`,
    lastModified: new Date(crl.thisUpdate),
    cache: cacheFor(now, new Date(crl.nextUpdate), maxAgeSeconds),
  };
}

function rootsOf(bundle: StoredBundle | undefined, now: Date): Resource | undefined {
  if (bundle === undefined) return undefined;
  const { roots } = readBundle(bundle.document);
  return {
    body: Buffer.concat(roots.map((der) => encodePem('CERTIFICATE', der))),
    type: 'application/x-pem-file',
    ...versionOf(bundle, now),
  };
}

function bundleOf(bundle: StoredBundle | undefined, now: Date): Resource | undefined {
  if (bundle === undefined) return undefined;
  return {
    body: bundle.document,
    type: 'application/octet-stream',
    ...versionOf(bundle, now),
  };
}

function versionOf(bundle: StoredBundle, now: Date): Omit<Resource, 'body' | 'type'> {
  return {
    tag: `"${String(bundle.sequence)}"`,
    lastModified: bundle.createdAt,
    cache: cacheFor(now, new Date(now.getTime() + bundleAgeSeconds * 1000), bundleAgeSeconds),
  };
}

/** Until `end`, but not longer than so many seconds. */
export function cacheFor(
  now: Date,
  end: Date,
  maxAgeSeconds: number,
): NonNullable<Resource['cache']> {
  const left = Math.max(0, Math.floor((end.getTime() - now.getTime()) / 1000));
  const age = Math.min(left, maxAgeSeconds);
  return { expires: new Date(now.getTime() + age * 1000), maxAgeSeconds: age };
}

const issuerPath = /^\/(?:crl|ca)\/([0-9a-f]{32})(?:-delta)?\.(?:crl|cer)$/;
const dayS = 86_400;
/** A new complete CRL says nothing that its deltas do not say. */
const completeAgeSeconds = 3600;
const deltaAgeSeconds = 30;
const bundleAgeSeconds = 60;
