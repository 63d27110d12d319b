import { z } from 'zod';

/** What an application needs to know at its start. No key is among it. */
export const applicationSettings = z.object({ sidecar: z.string() });

const keepCanary = z.object({
  /** Keep these bytes (base64) in memory: the search of it has to find them. */
  do: z.literal('keep'),
  bytes: z.string(),
});

/** What the demo asks of the server application. */
export const serverRequest = z.discriminatedUnion('do', [
  z.object({ do: z.literal('listen') }),
  z.object({ do: z.literal('count') }),
  keepCanary,
]);

/** What the demo asks of the client application. `port` is on the loopback address. */
export const clientRequest = z.discriminatedUnion('do', [
  z.object({ do: z.literal('greet'), port: z.number() }),
  z.object({ do: z.literal('load'), port: z.number(), requests: z.number() }),
  z.object({ do: z.literal('download'), port: z.number(), pieces: z.number() }),
  z.object({ do: z.literal('refused'), port: z.number() }),
  keepCanary,
]);

/** Answer to `listen`. */
export const listening = z.object({ port: z.number() });

/** Answer to `count`. */
export const counted = z.object({ requests: z.number(), connections: z.number() });

/** Answer to `greet`: how the client sees the connection, and what the server said. */
export const greeted = z.object({
  version: z.string(),
  suite: z.string(),
  group: z.string().optional(),
  alpn: z.string().optional(),
  peerIdentity: z.string().optional(),
  handshakeId: z.string().regex(/^[\w-]+$/),
  /** The client's identity as the server saw it. */
  seenByServer: z.string(),
});

/** Answer to `load`. */
export const loaded = z.object({ answered: z.number(), connections: z.number() });

/** Answer to `download`. */
export const downloaded = z.object({ bytes: z.number(), sha256: z.string() });

/** Answer to `refused`: with what a connection failed. */
export const refused = z.object({ code: z.string() });
