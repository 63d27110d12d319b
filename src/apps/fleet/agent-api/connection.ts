/**
 * How a manager and an agent connect. Who dials is the TLS client; the manager is the HTTP client and
 * the agent the HTTP server, whoever dialled. Connections the agent dialled carry ids of their own, so
 * that no ordinary client or server can be confused about who speaks first.
 */

/** Who opens TCP connections; kept for each agent by its manager, and changed there. */
export const connectionModes = ['manager-initiated', 'agent-initiated', 'bidirectional'] as const;
export type ConnectionMode = (typeof connectionModes)[number];

/** ALPN, most preferred first, where the manager dialled. */
export const directProtocols = ['h2', 'http/1.1'] as const;

/** ALPN, most preferred first, where the agent dialled: HTTP/2 or HTTP/1.1 with the server on the dialling side. */
export const reverseProtocols = ['sidekey-reverse-h2/1', 'sidekey-reverse-http/1'] as const;

/** The HTTP that an ALPN id stands for; `undefined`: none of ours. */
export function httpOf(protocol: string | false | null): 'h2' | 'http/1.1' | undefined {
  switch (protocol) {
    case 'h2':
    case 'sidekey-reverse-h2/1':
      return 'h2';
    case 'http/1.1':
    case 'sidekey-reverse-http/1':
      return 'http/1.1';
    default:
      return undefined;
  }
}
