import type { Outcome } from '../cell.ts';
import type { Fixture } from '../fixture.ts';
import type { OurServer, OurSide, ServerOptions } from '../sides/our-side.ts';
import type { Row } from '../peer.ts';

/** Something beyond the matrix. */
export interface Check {
  /** Checks with one heading are counted together. */
  readonly heading: string;
  readonly name: string;
  /** Programs without which it is skipped. */
  readonly needs?: readonly string[];
  /** Why `node:tls` would not pass, if so. */
  readonly notForControl?: string;
  run(bench: Bench): Promise<Outcome>;
}

/** What a check has to work with. */
export interface Bench {
  readonly ours: OurSide;
  readonly fixture: Fixture;
  /** One of our servers, started once for all checks that want one like it. */
  server(row: Row, options?: ServerOptions): Promise<OurServer>;
  /** Stops those servers. */
  close(): Promise<void>;
}

export function createBench(ours: OurSide, fixture: Fixture): Bench {
  const servers = new Map<string, Promise<OurServer>>();
  return {
    ours,
    fixture,
    server: (row, options = {}) => {
      const name = JSON.stringify([row.key, row.clientCertificate, options]);
      const server = servers.get(name) ?? ours.startServer(row, options);
      servers.set(name, server);
      return server;
    },
    close: async () => {
      // Whoever wanted a server that did not start has reported it.
      for (const server of await Promise.allSettled(servers.values())) {
        if (server.status === 'fulfilled') await server.value.stop();
      }
    },
  };
}

export const passed: Outcome = { status: 'passed' };

export function failed(why: string): Outcome {
  return { status: 'failed', why };
}
