import { Duplex } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import tls from 'node:tls';
import type { PuppetClient, PuppetServer } from '../support/puppet.ts';
import type { EngineSide } from '../support/engine-driver.ts';
import type { IssuedIdentity } from '../support/test-ca.ts';

/** Somebody who is talked to by a puppet, one thing at a time. */
export interface Listener {
  /** Says what it says first, if it is the one that begins. */
  begin(): Promise<Uint8Array>;
  /**
   * Hears bytes and answers. `expectsAnswer` says whether it is worth waiting for bytes, as long as
   * there is any hope.
   */
  hear(bytes: Uint8Array, expectsAnswer: boolean): Promise<Uint8Array>;
  /** Whether it has finished its handshake, and whether it has ended the connection. */
  readonly state: 'open' | 'established' | 'ended';
  close(): void;
}

/** Our engine. */
export class EngineListener implements Listener {
  readonly #side: EngineSide;

  constructor(side: EngineSide) {
    this.#side = side;
  }

  get state(): Listener['state'] {
    if (this.#side.failure !== undefined) return 'ended';
    return this.#side.result === undefined ? 'open' : 'established';
  }

  begin(): Promise<Uint8Array> {
    return Promise.resolve(this.#side.start());
  }

  hear(bytes: Uint8Array): Promise<Uint8Array> {
    return Promise.resolve(this.#side.receive(bytes));
  }

  close(): void {
    this.#side.handshake.wipe();
  }
}

/** The OpenSSL inside Node, in the other role than its puppet's. */
export class OpenSslListener implements Listener {
  readonly #wire = new Wire();
  readonly #socket: tls.TLSSocket;
  #isSecure = false;
  #isOver = false;

  constructor(role: 'client' | 'server', { certificatePem, privateKeyPem }: IssuedIdentity) {
    const options: tls.SecureContextOptions = {
      cert: certificatePem,
      key: privateKeyPem,
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.2',
      ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256',
      ecdhCurve: 'prime256v1',
    };
    this.#socket =
      role === 'client'
        ? tls.connect({
            ...options,
            socket: this.#wire,
            servername: 'server.test',
            rejectUnauthorized: false,
          })
        : new tls.TLSSocket(this.#wire, {
            isServer: true,
            secureContext: tls.createSecureContext({
              ...options,
              secureOptions: SSL_OP_NO_TICKET,
            }),
            requestCert: true,
            rejectUnauthorized: false,
          });
    this.#socket.on(role === 'client' ? 'secureConnect' : 'secure', () => {
      this.#isSecure = true;
    });
    this.#socket.on('error', () => {
      this.#isOver = true;
    });
    this.#socket.on('close', () => {
      this.#isOver = true;
    });
  }

  get state(): Listener['state'] {
    if (this.#isOver) return 'ended';
    return this.#isSecure ? 'established' : 'open';
  }

  begin(): Promise<Uint8Array> {
    return this.#wire.written.length > 0 ? this.#take() : this.hear(new Uint8Array(0), true);
  }

  async hear(bytes: Uint8Array, expectsAnswer: boolean): Promise<Uint8Array> {
    if (bytes.length > 0) this.#wire.push(bytes);
    // Every step of OpenSSL and the stream around it takes a few turns of the loop; none takes many.
    const turns = expectsAnswer ? manyTurns : fewTurns;
    for (let turn = 0; turn < turns; turn++) {
      await setImmediate();
      if (expectsAnswer && (this.#wire.written.length > 0 || this.state !== 'open')) break;
    }
    return this.#take();
  }

  close(): void {
    this.#socket.destroy();
    this.#wire.destroy();
  }

  /** Everything written, once no more comes. */
  async #take(): Promise<Uint8Array> {
    for (let turn = 0; turn < fewTurns; turn++) await setImmediate();
    return Buffer.concat(this.#wire.written.splice(0));
  }
}

/** The connection below OpenSSL: what it writes is kept, what it reads is pushed. */
class Wire extends Duplex {
  readonly written: Uint8Array[] = [];

  override _read(): void {
    // Bytes are pushed when there are some.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written.push(Uint8Array.from(chunk));
    done();
  }
}

/** What one listener did with a walk. */
export interface Walked {
  /** Step that it refused; absent: none. */
  readonly refusedAt: number | undefined;
  readonly alert: number | undefined;
  readonly established: boolean;
}

/** Says one thing after the other until the listener has had enough. */
export async function walk<P extends PuppetClient | PuppetServer>(
  listener: Listener,
  puppet: P,
  steps: readonly ((puppet: P) => Uint8Array)[],
  answersAt: ReadonlySet<number>,
): Promise<Walked & { readonly answeredAt: ReadonlySet<number> }> {
  const answeredAt = new Set<number>();
  try {
    puppet.take(await listener.begin());
    for (const [index, step] of steps.entries()) {
      if (listener.state === 'established') break;
      const answer = await listener.hear(step(puppet), answersAt.has(index));
      const alert = puppet.take(answer);
      if (answer.length > 0) answeredAt.add(index);
      if (alert !== undefined || listener.state === 'ended') {
        return { refusedAt: index, alert, established: false, answeredAt };
      }
    }
    const established = listener.state === 'established';
    return { refusedAt: undefined, alert: undefined, established, answeredAt };
  } finally {
    listener.close();
  }
}

const SSL_OP_NO_TICKET = 0x4000;
const fewTurns = 10;
const manyTurns = 400;
