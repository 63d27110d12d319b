import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { ListenAddress } from '../rpc/address.ts';
import { listen, type Listening } from '../rpc/listen.ts';

export interface AdminSources {
  readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>;
  /** Why the sidecar is not ready, one line each; empty: it is. */
  readonly problems: () => readonly string[];
  readonly onError: (error: unknown) => void;
}

/** Serves `/metrics`, `/healthz` and `/readyz`; nothing here changes anything. */
export async function startAdmin(
  address: ListenAddress,
  sources: AdminSources,
): Promise<Listening & { destroy(): void }> {
  const server = createServer((request, response) => {
    answer(request, response, sources).catch((error: unknown) => {
      sources.onError(error);
      respond(response, 500, 'internal error\n');
    });
  });
  server.requestTimeout = 5000;
  server.headersTimeout = 5000;
  server.maxConnections = 64;
  const listening = await listen(server, address, { mode: 0o600 });
  return {
    ...listening,
    destroy: () => {
      server.closeAllConnections();
    },
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  sources: AdminSources,
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    respond(response, 405, 'only GET is known here\n');
    return;
  }
  switch (request.url?.split('?')[0]) {
    case '/metrics': {
      const { contentType, text } = await sources.metrics();
      respond(response, 200, text, contentType);
      return;
    }
    case '/healthz':
      respond(response, 200, 'ok\n');
      return;
    case '/readyz': {
      const problems = sources.problems();
      respond(response, problems.length === 0 ? 200 : 503, problems.join('\n') || 'ok\n');
      return;
    }
    default:
      respond(response, 404, 'known: /metrics /healthz /readyz\n');
  }
}

function respond(
  response: ServerResponse,
  status: number,
  body: string,
  contentType = 'text/plain; charset=utf-8',
): void {
  if (response.headersSent) return;
  response.writeHead(status, { 'content-type': contentType, 'cache-control': 'no-store' });
  response.end(body);
}
