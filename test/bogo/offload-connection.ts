import { once } from 'node:events';
import type { Socket } from 'node:net';
import { createOffload, type Offload, type OffloadSocket } from '../../src/offload/index.ts';
import type { HandshakeResult } from '../../src/tls/config.ts';
import { ShimError } from './connection.ts';
import { exporterOf, serverProtocols, wireProtocols } from './engine-session.ts';
import type { ShimFlags } from './flags.ts';
import type { ShimSidecar } from './sidecar.ts';

/** One TLS connection of an application that leaves its handshakes to a sidecar. */
export class OffloadedConnection {
  readonly #sidecar: ShimSidecar;
  readonly #flags: ShimFlags;
  readonly #offload: Offload;
  readonly #socket: OffloadSocket;
  readonly #exporter: ReturnType<typeof exporterOf> | undefined;
  readonly #ended: Promise<Error | undefined>;

  constructor(raw: Socket, sidecar: ShimSidecar, flags: ShimFlags) {
    const { strings, numbers, booleans } = flags;
    const length = numbers.get('export-keying-material');
    this.#sidecar = sidecar;
    this.#flags = flags;
    this.#offload = createOffload({ address: sidecar.address });
    this.#exporter = length === undefined ? undefined : exporterOf(length, strings, booleans);
    const common = {
      keyingMaterial: this.#exporter === undefined ? [] : [this.#exporter],
      allowHalfOpen: true,
    };
    this.#socket = this.#offload.wrap(
      raw,
      booleans.has('server')
        ? { ...common, role: 'server', ALPNProtocols: serverProtocols(flags) }
        : {
            ...common,
            role: 'client',
            servername: strings.get('host-name') ?? 'test',
            ALPNProtocols: wireProtocols(strings.get('advertise-alpn') ?? ''),
          },
    );
    this.#ended = new Promise((resolve) => {
      this.#socket.once('error', resolve);
      this.#socket.once('close', () => {
        resolve(undefined);
      });
    });
  }

  get signedWith(): string | undefined {
    return this.#sidecar.signedWith;
  }

  get verifiedChain(): boolean {
    return this.#sidecar.verifiedChain;
  }

  /** Throws `ShimError` when the handshake fails; the alert has been written then. */
  async handshake(): Promise<HandshakeResult> {
    const secure = new Promise<'secure'>((resolve) => {
      this.#socket.once('secure', () => {
        resolve('secure');
      });
    });
    const ending = await Promise.race([secure, this.#ended]);
    if (ending !== 'secure') throw asShimError(ending ?? new Error('closed'));
    const { result } = this.#sidecar;
    if (result === undefined) throw new Error('secure without a result');
    return result;
  }

  /** What the runner expects of a connection that works: an echo of every byte XOR 0xff. */
  async serve(): Promise<void> {
    const { booleans } = this.#flags;
    const socket = this.#socket;
    if (this.#exporter !== undefined) {
      const { length, label, context } = this.#exporter;
      const given = context === undefined ? undefined : Buffer.from(context);
      socket.write(socket.exportKeyingMaterial(length, label, given));
    }
    if (booleans.has('shim-writes-first')) socket.write('hello');
    if (booleans.has('shim-shuts-down')) {
      socket.end();
      if (!booleans.has('check-close-notify')) {
        await once(socket, 'finish');
        return;
      }
    }
    const goodbye = new Promise<'goodbye'>((resolve) => {
      socket.once('end', () => {
        resolve('goodbye');
      });
    });
    socket.on('data', (bytes: Buffer) => {
      if (booleans.has('shim-shuts-down')) {
        socket.destroy(new ShimError('application_data_on_shutdown', 'data behind close_notify'));
        return;
      }
      socket.write(bytes.map((byte) => byte ^ 0xff));
    });
    const ending = await Promise.race([goodbye, this.#ended]);
    if (ending === 'goodbye') socket.end();
    else if (ending !== undefined && !this.#mayEndWithout(ending)) throw asShimError(ending);
  }

  async close(): Promise<void> {
    if (!this.#socket.destroyed && !this.#socket.writableFinished) this.#socket.end();
    await this.#ended;
    await this.#offload.close();
  }

  /** An end of the connection without close_notify is of no interest unless the runner says so. */
  #mayEndWithout(error: Error): boolean {
    const truncated = 'code' in error && error.code === 'ERR_OFFLOAD_TRUNCATED';
    return truncated && !this.#flags.booleans.has('check-close-notify');
  }
}

/** The reason a sidecar, or the record layer, gives is what the runner's tokens are mapped to. */
function asShimError(error: Error): ShimError {
  if (error instanceof ShimError) return error;
  const { code, reason, alert } = error as Partial<Record<'code' | 'reason' | 'alert', string>>;
  if (reason !== undefined) return new ShimError(reason, error.message);
  if (code === 'ERR_OFFLOAD_PEER_ALERT') {
    return new ShimError(`peer_alert_${alert ?? ''}`, error.message);
  }
  if (code === 'ERR_OFFLOAD_TRUNCATED') return new ShimError('truncated', error.message);
  if (code === 'ECONNRESET') return new ShimError('connection_ended', error.message);
  return new ShimError(code ?? 'SHIM_ERROR', error.message);
}
