import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** Passes TLS on and counts, by the records' own headers, what of it is application data. */
export class RecordRelay {
  /** Bytes of application data, encrypted, that whoever dialled has sent (`up`) and has got (`down`). */
  readonly application = { up: 0, down: 0 };
  /** Connections that have ended. */
  ended = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(targetPort: number) {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
      const far = connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true });
      let open = 2;
      for (const [from, to, direction] of [
        [near, far, 'up'],
        [far, near, 'down'],
      ] as const) {
        this.#sockets.add(from);
        const counter = new RecordCounter();
        from.on('data', (bytes) => {
          this.application[direction] += counter.add(bytes);
        });
        from.on('error', () => {
          to.destroy();
        });
        from.pipe(to);
        from.once('close', () => {
          this.#sockets.delete(from);
          to.destroySoon();
          open -= 1;
          if (open === 0) this.ended += 1;
        });
      }
    });
  }

  /** In front of ADDRESS:PORT of this host. */
  static async before(address: string): Promise<RecordRelay> {
    const relay = new RecordRelay(Number(address.split(':').at(-1)));
    relay.#server.listen(0, '127.0.0.1');
    await once(relay.#server, 'listening');
    return relay;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** Follows the records of one direction (RFC 5246 §6.2.1): type, version, length, fragment. */
class RecordCounter {
  #rest: Buffer = Buffer.alloc(0);

  /** How many bytes of application data these bytes have made complete. */
  add(bytes: Buffer): number {
    let all = Buffer.concat([this.#rest, bytes]);
    let counted = 0;
    while (all.length >= 5) {
      const length = all.readUInt16BE(3);
      if (all.length < 5 + length) break;
      if (all[0] === applicationData) counted += length;
      all = all.subarray(5 + length);
    }
    this.#rest = all;
    return counted;
  }
}

const applicationData = 23;
