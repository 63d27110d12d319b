import type { Server } from '@grpc/grpc-js';
import {
  constants,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { RateBudget } from './rate-budget.ts';

export interface Http2GuardOptions {
  readonly now: () => Date;
  /** A connection is closed because of what its client did. */
  readonly onClosed: (reason: string) => void;
}

/**
 * Answers what grpc-js leaves unanswered on a server of its own: PING and SETTINGS frames without
 * end, each of which costs an acknowledgement (CVE-2019-9512, CVE-2019-9515), and compressed
 * messages, which cost their sender little and the receiver much.
 *
 * A client may send control frames in proportion to its calls: those of Go measure the bandwidth of
 * a connection with them.
 */
export function guardHttp2(server: Http2Server, { now, onClosed }: Http2GuardOptions): void {
  server.on('session', (session: ServerHttp2Session) => {
    const budget = new RateBudget(controlFrames, now);
    const spend = (): void => {
      budget.spend();
      if (budget.available || session.destroyed) return;
      const reason = 'too many HTTP/2 control frames';
      onClosed(reason);
      session.destroy(new Error(reason), constants.NGHTTP2_ENHANCE_YOUR_CALM);
    };
    session.on('ping', spend);
    session.on('remoteSettings', spend);
    session.on('stream', () => {
      budget.refund(controlFramesPerStream);
    });
  });
  server.prependListener('stream', refuseCompression);
}

/**
 * The HTTP/2 server behind the latest connection injector of a gRPC server. grpc-js keeps it to
 * itself, as it does everything a server would need to defend itself; its version is pinned, and
 * {@link guardHttp2} has tests that fail when this finds nothing any more.
 */
export function latestHttp2Server(grpc: Server): Http2Server {
  const servers: unknown = Reflect.get(grpc, 'http2Servers');
  if (!(servers instanceof Map)) throw new TypeError('grpc-js keeps its HTTP/2 servers elsewhere');
  const latest: unknown = [...servers.keys()].at(-1);
  if (!isHttp2Server(latest)) throw new TypeError('grpc-js keeps its HTTP/2 servers elsewhere');
  return latest;
}

/**
 * Makes grpc-js answer a compressed message as one in a coding it does not know: with UNIMPLEMENTED,
 * before anything is inflated. Messages that are not compressed pass, whatever this header says.
 */
function refuseCompression(_stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  const coding = headers['grpc-encoding'];
  if (coding !== undefined && coding !== 'identity') headers['grpc-encoding'] = 'compressed';
}

function isHttp2Server(value: unknown): value is Http2Server {
  return typeof value === 'object' && value !== null && 'prependListener' in value;
}

/** Keep-alive needs one in ten seconds; a flood is tens of thousands each second. */
const controlFrames = { burst: 1000, perSecond: 100 };
const controlFramesPerStream = 8;
