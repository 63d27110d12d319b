import { once } from 'node:events';
import type { Offload, OffloadSocket } from '../../../offload/index.ts';
import { reverseProtocols } from '../../fleet/agent-api/connection.ts';
import { type BackOffTimes, hostAndPort } from '../config.ts';
import type { Surroundings } from '../surroundings.ts';
import { BackOff } from './back-off.ts';
import type { IdentityInUse } from './identity-in-use.ts';

export interface DiallerOptions {
  readonly offload: Offload;
  readonly reconnect: BackOffTimes;
  readonly surroundings: Surroundings;
  /** Only an enrolled agent dials. */
  readonly identity: IdentityInUse;
  readonly connected: (socket: OffloadSocket, identity: IdentityInUse) => void;
}

/** Keeps one connection with the manager at an address, until stopped. */
export class Dialler {
  readonly address: string;
  readonly #options: DiallerOptions;
  readonly #backOff: BackOff;
  #socket: OffloadSocket | undefined;
  #stopPause: (() => void) | undefined;
  #stopped = false;
  /** Why there is no connection. */
  #problem: string | undefined = 'not connected yet';

  constructor(address: string, options: DiallerOptions) {
    this.address = address;
    this.#options = options;
    this.#backOff = new BackOff(options.reconnect, options.surroundings.random);
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  start(): void {
    void this.#dial();
  }

  /** Dials no more; a connection that is established goes on. */
  stop(): void {
    this.#stopped = true;
    this.#stopPause?.();
    if (this.#socket?.secureConnecting === true) this.#socket.destroy();
  }

  /** The manager asked not to be dialled for so long. */
  comeBackAfter(ms: number): void {
    this.#comeBackMs = ms;
  }

  #comeBackMs = 0;

  async #dial(): Promise<void> {
    const { offload, identity, connected, surroundings } = this.#options;
    const { host, port } = hostAndPort(this.address);
    let secure = false;
    try {
      const socket = offload.connect({
        host,
        port,
        identity: identity.name,
        targetIdentities: identity.peers,
        ALPNProtocols: reverseProtocols,
        requireApplicationProtocol: true,
      });
      this.#socket = socket;
      socket.on('error', (error: Error) => {
        if (secure || this.#stopped) return;
        if (this.#problem !== error.message) {
          const { code, reason } = error as Error & {
            readonly code?: string;
            readonly reason?: string;
          };
          surroundings.log.warn(
            { address: this.address, code, reason, problem: error.message },
            'manager cannot be connected',
          );
        }
        this.#problem = error.message;
      });
      socket.once('secureConnect', () => {
        secure = true;
        this.#problem = undefined;
        connected(socket, identity);
      });
      const began = surroundings.now().getTime();
      await once(socket, 'close');
      const lastedMs = surroundings.now().getTime() - began;
      if (socket.peerIdentity !== undefined && lastedMs >= usefulMs) this.#backOff.reset();
    } catch (error) {
      this.#problem = error instanceof Error ? error.message : String(error);
    }
    this.#socket = undefined;
    if (this.#stopped) return;
    this.#problem ??= 'connection was lost';
    const pauseMs = Math.max(this.#backOff.nextMs(), this.#comeBackMs);
    this.#comeBackMs = 0;
    this.#stopPause = surroundings.timers.after(pauseMs, () => {
      this.#stopPause = undefined;
      void this.#dial();
    });
  }
}

/** One that ends earlier than this may be a manager that refuses us after the handshake. */
const usefulMs = 30_000;
