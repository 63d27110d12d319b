import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import { MAX_OCSP_REQUEST_BYTES } from '../../pki/index.ts';
import type { ListenAddress } from '../../rpc/address.ts';
import { listen, type Listening } from '../../rpc/listen.ts';
import type { OcspReply } from '../revocation/ocsp-responder.ts';
import { decodeOcspPath } from './ocsp-path.ts';
import { cacheFor, findResource, type Resource, type ResourceSources } from './resources.ts';
import { paths } from './urls.ts';

export interface AuthorityHttpOptions extends ResourceSources {
  readonly address: ListenAddress;
  /** Answers an OCSP request; never rejects. */
  readonly respond: (request: Uint8Array) => Promise<OcspReply>;
  readonly now: () => Date;
  readonly log: Logger;
  readonly limits?: Partial<HttpLimits>;
}

export interface HttpLimits {
  readonly maxConnections: number;
  /** For a whole request to come in. */
  readonly requestMs: number;
  /** Without a byte in either direction. */
  readonly idleMs: number;
}

/**
 * Serves what everybody may know, over plain HTTP, as is usual for it: all of it is signed. CRLs,
 * OCSP, the certificates of CAs and the trust bundle. Nothing here changes anything.
 */
export async function startAuthorityHttp(
  options: AuthorityHttpOptions,
): Promise<Listening & { destroy(): void }> {
  const limits = { ...defaultLimits, ...options.limits };
  const server = createServer(
    {
      maxHeaderSize: maxHeaderBytes,
      // Node looks after slow requests only as often as this.
      connectionsCheckingInterval: Math.min(limits.requestMs, 5000),
    },
    (request, response) => {
      answer(request, options).then(
        ({ status, resource }) => {
          send(request, response, status, resource);
        },
        (error: unknown) => {
          // A client that went away while it asked.
          if (request.destroyed) return;
          options.log.error({ err: error }, 'a request could not be answered');
          send(request, response, 500, text('internal error'));
        },
      );
    },
  );
  applyLimits(server, limits);
  const listening = await listen(server, options.address, { mode: 0o666 });
  return {
    ...listening,
    destroy: () => {
      server.closeAllConnections();
    },
  };
}

function applyLimits(server: Server, limits: HttpLimits): void {
  server.maxConnections = limits.maxConnections;
  server.headersTimeout = limits.requestMs;
  server.requestTimeout = limits.requestMs;
  server.keepAliveTimeout = limits.idleMs;
  server.maxRequestsPerSocket = 1000;
  // Also a client that does not read what it asked for.
  server.setTimeout(limits.idleMs, (socket) => {
    socket.destroy();
  });
}

interface Answer {
  readonly status: number;
  readonly resource: Resource;
}

async function answer(request: IncomingMessage, options: AuthorityHttpOptions): Promise<Answer> {
  const [path = ''] = (request.url ?? '').split('?', 1);
  const question = path.startsWith(`${paths.ocsp}/`)
    ? path.slice(paths.ocsp.length + 1)
    : undefined;
  switch (request.method) {
    case 'GET':
    case 'HEAD': {
      if (question !== undefined) return await answerOcspGet(question, options);
      const resource = findResource(path, options, options.now());
      return resource === undefined ? refuse(404, 'not found') : { status: 200, resource };
    }
    case 'POST': {
      if (path !== paths.ocsp) return refuse(405, 'only OCSP is asked by POST');
      const body = await readBody(request);
      if (body === undefined) return refuse(413, 'too long');
      // Kept by nobody on the way: it may be the answer to a nonce.
      const { der } = await options.respond(body);
      return { status: 200, resource: { body: der, type: ocspType } };
    }
    default:
      return refuse(405, 'only GET, HEAD and POST are known here');
  }
}

/** RFC 5019 §5, §6. */
async function answerOcspGet(question: string, options: AuthorityHttpOptions): Promise<Answer> {
  const request = decodeOcspPath(question);
  if (request === undefined) return refuse(400, 'not an OCSP request');
  const { der, validity } = await options.respond(request);
  const resource: Resource = {
    body: der,
    type: ocspType,
    ...(validity === undefined
      ? {}
      : {
          lastModified: validity.thisUpdate,
          cache: cacheFor(options.now(), validity.nextUpdate, ocspAgeSeconds),
        }),
  };
  return { status: 200, resource };
}

/** `undefined`: too long; then the rest of it is not read. */
async function readBody(request: IncomingMessage): Promise<Uint8Array | undefined> {
  return await new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let length = 0;
    request.on('data', (part: Buffer) => {
      length += part.length;
      if (length <= MAX_OCSP_REQUEST_BYTES) {
        parts.push(part);
        return;
      }
      request.pause();
      resolve(undefined);
    });
    request.once('end', () => {
      resolve(Buffer.concat(parts));
    });
    request.once('error', reject);
  });
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  resource: Resource,
): void {
  if (response.headersSent || response.destroyed) return;
  const { body, type, tag, lastModified, cache } = resource;
  const headers = {
    'x-content-type-options': 'nosniff',
    ...(tag === undefined ? {} : { etag: tag }),
    ...(lastModified === undefined ? {} : { 'last-modified': lastModified.toUTCString() }),
    ...(cache === undefined
      ? { 'cache-control': 'no-store' }
      : {
          expires: cache.expires.toUTCString(),
          'cache-control': `public, max-age=${String(cache.maxAgeSeconds)}, no-transform, must-revalidate`,
        }),
    // What is left of such a request cannot be told from the next one.
    ...(status === 413 ? { connection: 'close' } : {}),
  };
  if (status === 200 && tag !== undefined && matches(request.headers['if-none-match'], tag)) {
    response.writeHead(304, headers).end();
    return;
  }
  response.writeHead(status, {
    ...headers,
    'content-type': type,
    'content-length': body.length,
  });
  if (request.method === 'HEAD') response.end();
  else response.end(body);
}

/** RFC 9110 §13.1.2. */
function matches(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((each) => ['*', tag, `W/${tag}`].includes(each.trim()));
}

function refuse(status: number, message: string): Answer {
  return { status, resource: text(message) };
}

function text(message: string): Resource {
  return { body: Buffer.from(`${message}\n`), type: 'text/plain; charset=utf-8' };
}

const ocspType = 'application/ocsp-response';
const maxHeaderBytes = 8192;
/** A revocation is not to hide behind caches for long. */
const ocspAgeSeconds = 300;
const defaultLimits: HttpLimits = { maxConnections: 512, requestMs: 10_000, idleMs: 15_000 };
