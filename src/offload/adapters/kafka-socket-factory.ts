import type { Socket } from 'node:net';
import { type ClientOptions, clientOptionsOf, type ConnectOptions } from '../connect.ts';
import type { OffloadSocket } from '../offload-socket.ts';

export type KafkaSocketFactoryOptions = ClientOptions;

/** What `kafkajs` says about a connection to a broker; whether it wants TLS does not matter. */
export interface KafkaSocketRequest {
  readonly host: string;
  readonly port: number;
  readonly onConnect: () => void;
}

export type KafkaSocketFactory = (request: KafkaSocketRequest) => Socket;

/** For the option `socketFactory` of `kafkajs`. */
export function createKafkaSocketFactory(
  options: KafkaSocketFactoryOptions,
  open: (options: ConnectOptions) => OffloadSocket,
): KafkaSocketFactory {
  const client = clientOptionsOf(options);
  return ({ host, port, onConnect }) => {
    const socket = open({ host, port, ...client });
    socket.setKeepAlive(true, keepAliveDelayMs);
    socket.once('secureConnect', onConnect);
    // It has the members of a socket that `kafkajs` uses; the class itself is not looked at.
    return socket as unknown as Socket;
  };
}

/** As `kafkajs` has it for its own sockets. */
const keepAliveDelayMs = 60_000;
