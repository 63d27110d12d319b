import type { Socket } from 'node:net';
import { type ClientOptions, clientOptionsOf, type ConnectOptions } from '../connect.ts';
import type { OffloadSocket } from '../offload-socket.ts';

export type SmtpGetSocketOptions = ClientOptions;

/** What of the options of a transport of `nodemailer` says where the server is. */
export interface SmtpTarget {
  readonly host?: string | undefined;
  readonly port?: number | string | undefined;
}

export type SmtpGetSocketCallback = (
  error: Error | null,
  result: { readonly connection: Socket; readonly secured: true } | false,
) => void;

export type SmtpGetSocket = (target: SmtpTarget, callback: SmtpGetSocketCallback) => void;

/** For the option `getSocket` of `nodemailer`, to servers that speak TLS from the first byte. */
export function createSmtpGetSocket(
  options: SmtpGetSocketOptions,
  open: (options: ConnectOptions) => OffloadSocket,
): SmtpGetSocket {
  const client = clientOptionsOf(options);
  return ({ host = 'localhost', port = 465 }, callback) => {
    const socket = open({ host, port, ...client });
    const failed = (error: Error): void => {
      callback(error, false);
    };
    socket.once('error', failed);
    socket.once('secureConnect', () => {
      socket.off('error', failed);
      // It has the members of a socket that `nodemailer` uses; the class itself is not looked at.
      callback(null, { connection: socket as unknown as Socket, secured: true });
    });
  };
}
