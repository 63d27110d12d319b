// The demo's client application: HTTPS requests with Node's own client, through an agent whose
// connections have their handshakes made by the sidecar.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { get, type Agent } from 'node:https';
import { createOffload, OffloadSocket } from '../../../offload/index.ts';
import { reportConnection } from '../../connection-report.ts';
import { answerRequests, settings } from './channel.ts';
import { applicationSettings, clientRequest } from './messages.ts';

const { sidecar } = applicationSettings.parse(settings());
// Patience is for sidecars that come back. The last step of the demo waits this long for one that
// does not.
const offload = createOffload({ address: sidecar, timeouts: { sidecarMs: 1500 } });
const kept: Buffer[] = [];

answerRequests(async (message) => {
  const request = clientRequest.parse(message);
  switch (request.do) {
    case 'greet':
      return greet(request.port);
    case 'load':
      return load(request.port, request.requests);
    case 'download':
      return download(request.port, request.pieces);
    case 'refused':
      return { code: await failureOf(request.port) };
    case 'keep':
      kept.push(Buffer.from(request.bytes, 'base64'));
      return {};
  }
});

async function greet(port: number): Promise<object> {
  const agent = offload.httpsAgent({ keepAlive: false });
  const response = await fetchFrom(port, '/', agent);
  const { socket } = response;
  if (!(socket instanceof OffloadSocket)) throw new Error('not a socket of ours');
  const report = reportConnection(socket);
  const text = await bodyOf(response);
  agent.destroy();
  return { ...report, seenByServer: text.toString() };
}

async function load(port: number, requests: number): Promise<object> {
  const agent = offload.httpsAgent({ keepAlive: true, maxSockets: parallel });
  const sockets = new Set<object>();
  let left = requests;
  let answered = 0;
  const worker = async (): Promise<void> => {
    while (left-- > 0) {
      const response = await fetchFrom(port, '/', agent);
      sockets.add(response.socket);
      await bodyOf(response);
      if (response.statusCode === 200) answered++;
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  agent.destroy();
  return { answered, connections: sockets.size };
}

async function download(port: number, pieces: number): Promise<object> {
  const agent = offload.httpsAgent({ keepAlive: false });
  const response = await fetchFrom(port, `/download?pieces=${String(pieces)}`, agent);
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  agent.destroy();
  return { bytes, sha256: hash.digest('hex') };
}

/** The code of the error a new connection ends with. */
async function failureOf(port: number): Promise<string> {
  const agent = offload.httpsAgent({ keepAlive: false });
  try {
    await bodyOf(await fetchFrom(port, '/', agent));
  } catch (error) {
    const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined;
    return typeof code === 'string' ? code : String(error);
  }
  throw new Error('the connection was made');
}

async function fetchFrom(port: number, path: string, agent: Agent): Promise<IncomingMessage> {
  const request = get({ host: '127.0.0.1', port, path, agent, servername: 'localhost' });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return response;
}

async function bodyOf(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const parallel = 4;
