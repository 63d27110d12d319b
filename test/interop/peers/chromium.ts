import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
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

function findChromium(): string | undefined {
  return findProgram('chromium') ?? findProgram('chromium-browser') ?? findProgram('google-chrome');
}

/** A message of the DevTools protocol, as far as it is looked at. */
interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly message: string };
}

/** A browser in a profile of its own. */
export class Browser {
  readonly #child: ChildProcess;
  readonly #commands: Writable;
  readonly #listeners = new Set<(message: Message) => void>();
  #nextId = 1;
  #session: string | undefined;

  private constructor(child: ChildProcess, commands: Writable, events: Readable) {
    this.#child = child;
    this.#commands = commands;
    let waiting = '';
    events.on('data', (chunk: Buffer) => {
      const parts = (waiting + chunk.toString()).split('\0');
      waiting = parts.pop() ?? '';
      for (const part of parts) {
        // The browser's own protocol, from the browser we started.
        const message = JSON.parse(part) as Message;
        for (const listener of this.#listeners) listener(message);
      }
    });
  }

  /** Starts a browser that trusts our roots the way a user would tell it to. */
  static async start(fixture: Fixture, row: Row, label: string = row.key): Promise<Browser> {
    const home = path.join(fixture.directory, `chromium-${label}`);
    const database = path.join(home, '.pki', 'nssdb');
    mkdirSync(database, { recursive: true });
    await run('certutil', ['-N', '-d', `sql:${database}`, '--empty-password']);
    const root = fixture.server[row.key].rootFile;
    await run('certutil', ['-A', '-d', `sql:${database}`, '-n', 'root', '-t', 'C,,', '-i', root]);
    const profile = path.join(home, 'profile');
    mkdirSync(path.join(profile, 'Default'), { recursive: true });
    // No connections made in advance: the second load would find one with a handshake of its own.
    writeFileSync(
      path.join(profile, 'Default', 'Preferences'),
      JSON.stringify({ net: { network_prediction_options: 2 } }),
    );
    const flags = [
      ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
      ...['--host-resolver-rules=MAP *.interop.test 127.0.0.1', '--remote-debugging-pipe'],
      `--user-data-dir=${profile}`,
    ];
    const child = spawn(findChromium() ?? 'chromium', flags, {
      env: { ...process.env, HOME: home },
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    });
    const kill = (): boolean => child.kill('SIGKILL');
    process.once('exit', kill);
    child.once('close', () => process.off('exit', kill));
    const browser = new Browser(child, child.stdio[3] as Writable, child.stdio[4] as Readable);
    const { targetId } = await browser.#send('Target.createTarget', { url: 'about:blank' });
    const attached = await browser.#send('Target.attachToTarget', { targetId, flatten: true });
    browser.#session = String(attached['sessionId']);
    await browser.#send('Page.enable');
    await browser.#send('Network.enable');
    return browser;
  }

  /** Loads a page; the first response of it says how the connection was made. */
  async load(url: string): Promise<ClientRun> {
    const response = this.#event('Network.responseReceived');
    const loaded = this.#event('Page.loadEventFired');
    const { errorText } = await this.#send('Page.navigate', { url });
    if (typeof errorText === 'string') throw new Error(`Chromium: ${errorText}`);
    const { response: received } = (await response) as { readonly response: Received };
    await loaded;
    const evaluated = await this.#send('Runtime.evaluate', {
      expression: 'document.documentElement.innerText',
    });
    const { value } = evaluated['result'] as { readonly value: string };
    const details = received.securityDetails;
    return {
      page: value,
      view: {
        version: details.protocol.replace('TLS ', 'TLSv'),
        suite: ianaSuite(`${details.keyExchange}_${details.cipher}`),
        peer: details.subjectName,
      },
    };
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#child.once('close', resolve));
    await this.#send('Browser.close');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 3_000);
    await closed;
    clearTimeout(timer);
  }

  #send(method: string, params: object = {}): Promise<Readonly<Record<string, unknown>>> {
    const id = this.#nextId++;
    const answered = this.#first(method, (message) => message.id === id);
    const session = this.#session === undefined ? {} : { sessionId: this.#session };
    this.#commands.write(`${JSON.stringify({ id, method, params, ...session })}\0`);
    return answered.then(({ result, error }) => {
      if (error !== undefined) throw new Error(`Chromium: ${method}: ${error.message}`);
      return result ?? {};
    });
  }

  #event(method: string): Promise<Readonly<Record<string, unknown>>> {
    return this.#first(method, (message) => message.method === method).then(
      ({ params }) => params ?? {},
    );
  }

  #first(what: string, fits: (message: Message) => boolean): Promise<Message> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#listeners.delete(listener);
      };
      const listener = (message: Message): void => {
        if (!fits(message)) return;
        done();
        resolve(message);
      };
      const timer = setTimeout(() => {
        done();
        reject(new Error(`Chromium: no ${what} within ${String(answerTimeoutMs)} ms`));
      }, answerTimeoutMs);
      this.#listeners.add(listener);
    });
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

const answerTimeoutMs = 30_000;
