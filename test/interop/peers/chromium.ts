import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { Chromium, findChromium } from '../../support/chromium.ts';
import type { Fixture } from '../fixture.ts';
import { findProgram, run } from '../processes.ts';
import { pagePath } from '../peer.ts';
import type { ClientRun, Peer, Row } from '../peer.ts';
import { ianaSuite } from '../suites.ts';

/**
 * A real browser, headless, steered over its DevTools pipe: it loads the page and tells what it
 * thinks of the connection.
 */
export const chromium: Peer = {
  name: 'Chromium',
  async probe() {
    const program = findChromium();
    if (program === undefined) return { missing: 'no chromium program' };
    if (findProgram('certutil') === undefined) return { missing: 'no certutil program' };
    return { version: /Chrom\w+ (\S+)/.exec((await run(program, ['--version'])).text)?.[1] ?? '' };
  },
  noServer: 'a browser is a client',
  client: {
    cannot: (row) => {
      if (row.key === 'ed25519') return 'Chromium has no Ed25519 certificates in TLS';
      return row.clientCertificate
        ? 'Chromium chooses a client certificate without a person only by a machine-wide policy'
        : undefined;
    },
    cannotResume: () => undefined,
    async fetch(row, target, fixture) {
      const browser = await Browser.start(fixture, row);
      try {
        const url = `https://${target.serverName}:${String(target.port)}${pagePath}`;
        // The server closes after each answer, so each load is a handshake of its own.
        const runs = [await browser.load(url), await browser.load(url)];
        // And the page for people, as it is shown to them.
        const { page, view } = await browser.load(new URL('/', url).href);
        if (!page.includes(view.suite ?? 'TLS')) throw new Error(`the page shows ${page}`);
        return runs;
      } finally {
        await browser.stop();
      }
    },
  },
};

/** A browser that trusts our roots the way a user would tell it to. */
export class Browser {
  readonly #chromium: Chromium;

  private constructor(browser: Chromium) {
    this.#chromium = browser;
  }

  static async start(fixture: Fixture, row: Row, label: string = row.key): Promise<Browser> {
    const home = path.join(fixture.directory, `chromium-${label}`);
    const database = path.join(home, '.pki', 'nssdb');
    mkdirSync(database, { recursive: true });
    await run('certutil', ['-N', '-d', `sql:${database}`, '--empty-password']);
    const root = fixture.server[row.key].rootFile;
    await run('certutil', ['-A', '-d', `sql:${database}`, '-n', 'root', '-t', 'C,,', '-i', root]);
    const names = '--host-resolver-rules=MAP *.interop.test 127.0.0.1';
    return new Browser(await Chromium.start(home, [names]));
  }

  /** Loads a page; the first response of it says how the connection was made. */
  async load(url: string): Promise<ClientRun> {
    const response = this.#chromium.event('Network.responseReceived');
    await this.#chromium.open(url);
    const { response: received } = (await response) as { readonly response: Received };
    const page = await this.#chromium.evaluate('document.documentElement.innerText');
    const details = received.securityDetails;
    return {
      page: String(page),
      view: {
        version: details.protocol.replace('TLS ', 'TLSv'),
        suite: ianaSuite(`${details.keyExchange}_${details.cipher}`),
        peer: details.subjectName,
      },
    };
  }

  stop(): Promise<void> {
    return this.#chromium.stop();
  }
}

/** What DevTools tells about a response over TLS, as far as it is looked at. */
interface Received {
  readonly securityDetails: {
    readonly protocol: string;
    readonly keyExchange: string;
    readonly cipher: string;
    readonly subjectName: string;
  };
}
