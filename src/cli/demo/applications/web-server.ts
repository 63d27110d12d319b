// The demo's server application: an HTTPS server as any Node developer writes one, except that the
// handshakes are made elsewhere and there is no key to load.
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { createOffload, OffloadSocket } from '../../../offload/index.ts';
import { answerRequests, settings } from './channel.ts';
import { piece } from './content.ts';
import { applicationSettings, serverRequest } from './messages.ts';

const { sidecar } = applicationSettings.parse(settings());
const offload = createOffload({ address: sidecar });
const kept: Buffer[] = [];
let requests = 0;
let connections = 0;

const server = offload.httpServer(
  { clientAuth: 'require', ALPNProtocols: ['http/1.1'] },
  (request, response) => {
    requests++;
    const url = new URL(request.url ?? '/', 'https://localhost');
    if (url.pathname === '/download') {
      void sendSlowly(response, Number(url.searchParams.get('pieces')));
      return;
    }
    const socket = request.socket;
    const client = socket instanceof OffloadSocket ? socket.peerIdentity : undefined;
    response.setHeader('content-type', 'text/plain').end(client ?? 'nobody');
  },
);
server.on('secureConnection', () => {
  connections++;
});

answerRequests(async (message) => {
  const request = serverRequest.parse(message);
  switch (request.do) {
    case 'listen':
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      return { port: portOf(server.address()) };
    case 'count':
      return { requests, connections };
    case 'keep':
      kept.push(Buffer.from(request.bytes, 'base64'));
      return {};
  }
});

/** Slow enough for the demo to do something to the sidecars while it runs. */
async function sendSlowly(response: ServerResponse, pieces: number): Promise<void> {
  for (let index = 0; index < pieces && !response.destroyed; index++) {
    if (!response.write(piece(index))) await once(response, 'drain');
    await delay(5);
  }
  response.end();
}

function portOf(address: ReturnType<typeof server.address>): number {
  if (address === null || typeof address === 'string') throw new Error('not listening');
  return address.port;
}
