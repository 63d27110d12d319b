import type { Socket } from 'node:net';
import { RecordReader } from '../../src/offload/record-reader.ts';
import { RecordWriter } from '../../src/offload/record-writer.ts';
import type { Action, Handshake, HandshakeResult } from '../../src/tls/config.ts';
import { createRecordOpener, createRecordSealer } from '../../src/tls/record/protection.ts';
import type { ShimConnectionConfig } from './engine-session.ts';
import type { ShimFlags } from './flags.ts';

/** Why a connection failed, with the stable reason that the runner's tokens are mapped to. */
export class ShimError extends Error {
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** One TLS connection of the shim: first the engine, then the record layer. */
export class ShimConnection {
  /** Which credential was signed with; `undefined` if none was. */
  signedWith: string | undefined;
  verifiedChain = false;
  readonly #socket: Socket;
  readonly #handshake: Handshake;
  readonly #config: ShimConnectionConfig;
  readonly #flags: ShimFlags;
  readonly #input: AsyncIterator<Buffer>;
  #leftover: Uint8Array = new Uint8Array(0);
  #reader: RecordReader | undefined;
  #writer: RecordWriter | undefined;

  constructor(
    socket: Socket,
    handshake: Handshake,
    config: ShimConnectionConfig,
    flags: ShimFlags,
  ) {
    this.#socket = socket;
    this.#handshake = handshake;
    this.#config = config;
    this.#flags = flags;
    socket.on('error', () => undefined);
    this.#input = socket.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  }

  /** Throws `ShimError` when the handshake fails; the alert has been written then. */
  async handshake(): Promise<HandshakeResult> {
    let result = await this.#perform(this.#handshake.start());
    while (result === undefined) {
      const bytes = await this.#read();
      if (bytes === undefined)
        throw new ShimError('connection_ended', 'peer closed the connection');
      result = await this.#perform(this.#handshake.receive(bytes), bytes);
    }
    this.#takeOver(result);
    return result;
  }

  /** What the runner expects of a connection that works: an echo of every byte XOR 0xff. */
  async serve(keyingMaterial: readonly Uint8Array[]): Promise<void> {
    const { booleans } = this.#flags;
    for (const secret of keyingMaterial) this.#send(secret);
    if (booleans.has('shim-writes-first')) this.#send(Buffer.from('hello'));
    if (booleans.has('shim-shuts-down')) {
      this.#alert('close_notify');
      if (booleans.has('check-close-notify')) await this.#untilCloseNotify();
      return;
    }
    let bytes: Uint8Array | undefined = this.#leftover;
    while (bytes !== undefined) {
      if (
        this.#receive(bytes, (plaintext) => {
          this.#send(plaintext.map((byte) => byte ^ 0xff));
        })
      ) {
        this.#alert('close_notify');
        return;
      }
      bytes = await this.#read();
    }
    if (booleans.has('check-close-notify')) {
      throw new ShimError('truncated', 'connection ended without close_notify');
    }
    this.#alert('close_notify');
  }

  /** Half-closes and reads to the end, so that no reset overtakes what was written. */
  async close(): Promise<void> {
    this.#socket.end();
    while ((await this.#read()) !== undefined);
    this.#socket.destroy();
  }

  async #perform(
    actions: readonly Action[],
    received?: Uint8Array,
  ): Promise<HandshakeResult | undefined> {
    for (const action of actions) {
      switch (action.type) {
        case 'send':
          this.#socket.write(action.bytes);
          break;
        case 'sign':
          await this.#pause();
          this.signedWith = action.credential.name;
          return this.#perform(this.#handshake.signed(this.#config.sign(action)), received);
        case 'verifyChain':
          await this.#pause();
          this.verifiedChain = true;
          return this.#perform(this.#handshake.verified(this.#config.verify(action)), received);
        case 'established':
          this.#leftover =
            action.trailingBytes === 0 ? new Uint8Array(0) : received!.slice(-action.trailingBytes);
          return action.result;
        case 'failed':
          throw new ShimError(action.failure.reason, action.failure.message);
      }
    }
    return undefined;
  }

  /** `-async`: answers come in a later turn of the loop. */
  async #pause(): Promise<void> {
    if (this.#flags.booleans.has('async')) await new Promise(setImmediate);
  }

  #takeOver(result: HandshakeResult): void {
    const { cipherSuite, read, write } = result;
    this.#reader = new RecordReader({
      opener: createRecordOpener({ cipherSuite, ...read }),
      role: this.#flags.booleans.has('server') ? 'server' : 'client',
      renegotiationIsFatal: !this.#flags.booleans.has('renegotiate-ignore'),
      maxRecords: 2 ** 24,
    });
    this.#writer = new RecordWriter({
      sealer: createRecordSealer({ cipherSuite, ...write }),
      slabs: (length) => ({ bytes: Buffer.alloc(length), release: () => undefined }),
      maxRecords: 2 ** 24,
    });
  }

  /** Takes records in; true once the peer has said goodbye. */
  #receive(bytes: Uint8Array, deliver: (plaintext: Uint8Array) => void): boolean {
    const { plaintexts, warning, end } = this.#reader!.receive(bytes);
    for (const plaintext of plaintexts) deliver(plaintext);
    if (warning !== undefined) this.#socket.write(this.#writer!.alert('warning', warning));
    switch (end?.type) {
      case undefined:
        return false;
      case 'close_notify':
        return true;
      case 'alert':
        throw new ShimError(`peer_alert_${end.alert}`, 'peer sent a fatal alert');
      case 'failure':
        this.#socket.write(this.#writer!.alert('fatal', end.error.alert));
        throw new ShimError(end.error.reason, end.error.message);
    }
  }

  async #untilCloseNotify(): Promise<void> {
    for (;;) {
      const refuse = (): never => {
        throw new ShimError('application_data_on_shutdown', 'data behind our close_notify');
      };
      if (this.#receive(this.#leftover, refuse)) return;
      const bytes = await this.#read();
      if (bytes === undefined)
        throw new ShimError('truncated', 'no close_notify in answer to ours');
      this.#leftover = bytes;
    }
  }

  #send(bytes: Uint8Array): void {
    this.#writer!.push(bytes);
    for (let slab = this.#writer!.next(); slab !== undefined; slab = this.#writer!.next()) {
      this.#socket.write(slab.bytes);
    }
  }

  #alert(name: 'close_notify'): void {
    this.#socket.write(this.#writer!.alert('warning', name));
  }

  async #read(): Promise<Buffer | undefined> {
    try {
      const next = await this.#input.next();
      return next.done === true ? undefined : next.value;
    } catch {
      return undefined; // a reset says no more than an end
    }
  }
}
