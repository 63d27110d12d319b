import type { Answer, Exchange } from '../requests/exchange.ts';

/** HTTP over one secured connection, in which we are the client. */
export interface HttpConnection {
  exchange(exchange: Exchange): Promise<Answer>;
  /** Rejects when the agent does not answer at all. */
  ping(): Promise<void>;
  destroy(): void;
}

/** What happens to it by itself. */
export interface HttpEvents {
  /** The agent broke the rules. */
  violated(error: Error): void;
  /** It takes no more requests, and will end. */
  draining(): void;
  /** It is gone. */
  failed(error: Error): void;
}
