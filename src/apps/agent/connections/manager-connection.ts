import type { ServerHttp2Session } from 'node:http2';
import type { OffloadSocket, SidekeyId } from '../../../offload/index.ts';
import type { IdentityInUse } from './identity-in-use.ts';

/** A connection with a manager, over which it may send requests. */
export class ManagerConnection {
  readonly socket: OffloadSocket;
  readonly manager: SidekeyId;
  readonly identity: IdentityInUse;
  /** Who opened the TCP connection. */
  readonly how: 'dialled' | 'accepted';
  /** Set where HTTP/2 is spoken. */
  session: ServerHttp2Session | undefined;
  #requests = 0;
  #ending = false;

  constructor(
    socket: OffloadSocket,
    manager: SidekeyId,
    identity: IdentityInUse,
    how: 'dialled' | 'accepted',
  ) {
    this.socket = socket;
    this.manager = manager;
    this.identity = identity;
    this.how = how;
  }

  /** No request is taken any more; the last answer ends it. */
  get ending(): boolean {
    return this.#ending;
  }

  requestBegan(): void {
    this.#requests += 1;
  }

  requestEnded(): void {
    this.#requests -= 1;
    if (this.#ending) this.#endIfIdle();
  }

  /** Ends it once the requests that have begun are answered, or after some seconds. */
  end(): void {
    if (this.#ending) return;
    this.#ending = true;
    // GOAWAY: what is under way is finished, nothing new is begun.
    this.session?.close();
    this.#endIfIdle();
    setTimeout(() => this.socket.destroy(), graceMs).unref();
  }

  destroy(): void {
    this.session?.destroy();
    this.socket.destroy();
  }

  #endIfIdle(): void {
    if (this.#requests > 0 || this.session !== undefined) return;
    this.socket.end();
  }
}

const graceMs = 5000;
