import type { Socket } from 'node:net';
import { type ClientOptions, clientOptionsOf, type ConnectOptions } from '../connect.ts';
import { OffloadError, OffloadErrorCode } from '../errors.ts';
import type { OffloadSocket } from '../offload-socket.ts';

/** What undici says about a connection it wants. */
export interface UndiciConnectRequest {
  readonly hostname: string;
  readonly protocol: string;
  readonly port: string;
  readonly servername?: string | null | undefined;
  readonly localAddress?: string | null | undefined;
}

export type UndiciConnectCallback = (
  ...result: [error: null, socket: Socket] | [error: Error, socket: null]
) => void;

export type UndiciConnector = (
  request: UndiciConnectRequest,
  callback: UndiciConnectCallback,
) => void;

export interface UndiciConnectorOptions extends ClientOptions {
  /** Offer HTTP/2 too; undici's own option of this name has to be set as well. Default: false. */
  readonly allowH2?: boolean | undefined;
}

/** The callback is always called later, never within the call: undici relies on it. */
export function createUndiciConnector(
  options: UndiciConnectorOptions,
  open: (options: ConnectOptions) => OffloadSocket,
): UndiciConnector {
  const client = clientOptionsOf(options);
  const ALPNProtocols = options.allowH2 === true ? ['h2', 'http/1.1'] : ['http/1.1'];
  return (request, callback) => {
    if (request.protocol !== 'https:') {
      const error = new OffloadError(
        OffloadErrorCode.policy,
        `this connector does not speak ${request.protocol}`,
        { phase: 'connect' },
      );
      process.nextTick(callback, error, null);
      return;
    }
    const { servername, localAddress } = request;
    const socket = open({
      host: request.hostname.replace(/^\[|\]$/g, ''),
      port: request.port === '' ? 443 : request.port,
      ALPNProtocols,
      ...(typeof servername === 'string' && servername !== '' ? { servername } : {}),
      ...(typeof localAddress === 'string' ? { localAddress } : {}),
      ...client,
    });
    const failed = (error: Error): void => {
      callback(error, null);
    };
    socket.once('error', failed);
    socket.once('secureConnect', () => {
      socket.off('error', failed);
      // It has the members of a socket that undici uses; the class itself is not looked at.
      callback(null, socket as unknown as Socket);
    });
  };
}
