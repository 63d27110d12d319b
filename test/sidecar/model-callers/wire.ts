import { credentials, type ClientDuplexStream, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { fileURLToPath } from 'node:url';

/** Field names and presence as on the wire: nothing is filled in. */
export type WireMessage = Record<string, any>;

export interface WireStatus {
  readonly code: number;
  readonly details: string;
  readonly reason: string | undefined;
}

/** One SetUpSession stream, one message at a time, as lock-step callers use it. */
export class WireStream {
  readonly #call: ClientDuplexStream<WireMessage, WireMessage>;
  readonly #arrived: (WireMessage | WireStatus)[] = [];
  #waiting: (() => void) | undefined;
  #status: WireStatus | undefined;

  constructor(call: ClientDuplexStream<WireMessage, WireMessage>) {
    this.#call = call;
    call.on('data', (message: WireMessage) => {
      this.#arrived.push(message);
      this.#waiting?.();
    });
    call.on('error', () => {
      // Reported as a status below.
    });
    call.on('status', ({ code, details, metadata }) => {
      const reason = metadata.get('sidekey-reason')[0];
      this.#status = { code, details, reason: typeof reason === 'string' ? reason : undefined };
      this.#waiting?.();
    });
  }

  send(message: WireMessage): void {
    this.#call.write(message);
  }

  /** The next response, or the status if the stream ended instead. */
  async receive(): Promise<WireMessage | undefined> {
    for (;;) {
      const message = this.#arrived.shift();
      if (message !== undefined) return message;
      if (this.#status !== undefined) return undefined;
      await new Promise<void>((resolve) => (this.#waiting = resolve));
    }
  }

  /** The trailing status; messages that are left are dropped. */
  async status(): Promise<WireStatus> {
    while (this.#status === undefined) {
      await new Promise<void>((resolve) => (this.#waiting = resolve));
    }
    return this.#status;
  }

  get unread(): number {
    return this.#arrived.length;
  }

  end(): void {
    this.#call.end();
  }

  cancel(): void {
    this.#call.cancel();
  }
}

export interface WireClient {
  open(): WireStream;
  close(): void;
}

/** A client made at run time from the published files, with none of our generated code. */
export function connectWire(address: string): WireClient {
  const client = new Service(address, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  });
  return {
    open: () => new WireStream(client.SetUpSession()),
    close: () => {
      client.close();
    },
  };
}

const protoDirectory = fileURLToPath(new URL('../../../proto', import.meta.url));
const definition = loadSync('s2a/proto/s2a.proto', {
  includeDirs: [protoDirectory],
  keepCase: true,
  longs: String,
  defaults: false,
});
const Service = (loadPackageDefinition(definition) as any).s2a.proto.S2AService as new (
  ...args: unknown[]
) => any;
