import { type ClientOptions, clientOptionsOf, type ConnectOptions } from '../connect.ts';
import type { OffloadSocket } from '../offload-socket.ts';

export type MqttStreamBuilderOptions = ClientOptions;

/** What of a client of `mqtt` is used. */
export interface MqttClientLike {
  readonly options: {
    readonly host?: string | undefined;
    readonly hostname?: string | undefined;
    readonly port?: number | undefined;
  };
}

export type MqttStreamBuilder = (client: MqttClientLike) => OffloadSocket;

/** For the first argument of `new MqttClient`, which tells of the socket's errors itself. */
export function createMqttStreamBuilder(
  options: MqttStreamBuilderOptions,
  open: (options: ConnectOptions) => OffloadSocket,
): MqttStreamBuilder {
  const own = clientOptionsOf(options);
  return (client) => {
    const { host, hostname, port } = client.options;
    return open({ host: hostname ?? host ?? 'localhost', port: port ?? 8883, ...own });
  };
}
