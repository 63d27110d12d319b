import type { Http2Session } from 'node:http2';

/** How long a connection may be without a sign of life. */
export interface Patience {
  readonly turnMs: number;
  /** Turns without an answer until the connection is ended. */
  readonly turns: number;
}

export interface LifeWatch extends Patience {
  /** Whether to ask now. */
  readonly isWanted: () => boolean;
  readonly onAnswer?: () => void;
  /** Turns without an answer until `onDoubt` is called, once. */
  readonly doubtTurns?: number;
  readonly onDoubt?: () => void;
}

/**
 * A connection can be open and yet dead: the other end hangs, or the end of a frame was lost. Asks
 * for a sign of life (a PING) whenever one is wanted, once a turn at most, and ends the connection when
 * none comes.
 *
 * Waiting is counted in turns of our own event loop, not by the clock: a process that did not run for
 * a while finds both its timer due and the answer unread, and the timer comes first.
 */
export function watchLife(session: Http2Session, options: LifeWatch): void {
  const { turnMs, turns, isWanted, onAnswer, doubtTurns, onDoubt } = options;
  let unansweredTurns: number | undefined;
  const watch = setInterval(() => {
    if (session.destroyed) return;
    if (unansweredTurns === undefined) {
      if (!isWanted()) return;
      const asked = session.ping((error) => {
        unansweredTurns = undefined;
        if (error === null) onAnswer?.();
      });
      if (asked) unansweredTurns = 0;
      return;
    }
    unansweredTurns += 1;
    if (unansweredTurns === doubtTurns) onDoubt?.();
    if (unansweredTurns >= turns) session.destroy();
  }, turnMs);
  watch.unref();
  session.once('close', () => {
    clearInterval(watch);
  });
}

/**
 * Watches a connection a server has accepted. Node reads no further on one whose client broke the
 * framing (RFC 9113 §4.2: a frame too large, for one): it sends GOAWAY, tells nobody, and never
 * learns that the client has left. So whenever something was said, and then nothing for a turn, the
 * client is asked once. One that is idle is left in peace.
 */
export function watchClient(session: Http2Session, patience: Patience): void {
  const traffic = (): number => {
    const { bytesRead, bytesWritten } = session.socket;
    return bytesRead + bytesWritten;
  };
  let atLastTurn = -1;
  let answered = -1;
  const fellSilent = (): boolean => {
    const now = traffic();
    const isQuiet = now === atLastTurn;
    atLastTurn = now;
    return isQuiet && now !== answered;
  };
  watchLife(session, {
    ...patience,
    isWanted: fellSilent,
    onAnswer: () => {
      answered = traffic();
    },
  });
}

/** Longer than an application on this host is busy with anything else, shorter than a handshake may take. */
export const localPatience: Patience = { turnMs: 1000, turns: 5 };
/** A sign of life may have to wait for much else on a slow network. */
export const remotePatience: Patience = { turnMs: 1000, turns: 20 };
