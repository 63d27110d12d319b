import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { findProgram } from '../interop/processes.ts';

/** A message of the DevTools protocol, as far as it is looked at. */
export interface DevToolsMessage {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly message: string };
}

/** The program; `undefined` if this machine has none. */
export function findChromium(): string | undefined {
  return findProgram('chromium') ?? findProgram('chromium-browser') ?? findProgram('google-chrome');
}

/** A real browser, headless, in a profile of its own with one page open, steered over its DevTools pipe. */
export class Chromium {
  readonly #child: ChildProcess;
  readonly #commands: Writable;
  readonly #listeners = new Set<(message: DevToolsMessage) => void>();
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
        const message = JSON.parse(part) as DevToolsMessage;
        for (const listener of this.#listeners) listener(message);
      }
    });
  }

  /** `home`: a directory of its own, with what it is to trust. */
  static async start(home: string, flags: readonly string[] = []): Promise<Chromium> {
    const profile = join(home, 'profile');
    mkdirSync(join(profile, 'Default'), { recursive: true });
    // No connections made in advance: what a page needs is all that is asked for.
    writeFileSync(
      join(profile, 'Default', 'Preferences'),
      JSON.stringify({ net: { network_prediction_options: 2 } }),
    );
    const all = [
      ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
      ...['--remote-debugging-pipe', `--user-data-dir=${profile}`, ...flags],
    ];
    const child = spawn(findChromium() ?? 'chromium', all, {
      env: { ...process.env, HOME: home },
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    });
    const kill = (): boolean => child.kill('SIGKILL');
    process.once('exit', kill);
    child.once('close', () => process.off('exit', kill));
    const browser = new Chromium(child, child.stdio[3] as Writable, child.stdio[4] as Readable);
    const { targetId } = await browser.send('Target.createTarget', { url: 'about:blank' });
    const attached = await browser.send('Target.attachToTarget', { targetId, flatten: true });
    browser.#session = String(attached['sessionId']);
    for (const domain of ['Page', 'Network', 'Log', 'Runtime']) {
      await browser.send(`${domain}.enable`);
    }
    return browser;
  }

  /** Loads a page and waits until all it needs is there. */
  async open(url: string): Promise<void> {
    const loaded = this.event('Page.loadEventFired');
    const { errorText } = await this.send('Page.navigate', { url });
    if (typeof errorText === 'string') throw new Error(`Chromium: ${errorText}`);
    await loaded;
  }

  /** What an expression is in the page. */
  async evaluate(expression: string): Promise<unknown> {
    const { result } = await this.send('Runtime.evaluate', { expression, returnByValue: true });
    return (result as { readonly value?: unknown }).value;
  }

  async send(method: string, params: object = {}): Promise<Readonly<Record<string, unknown>>> {
    const id = this.#nextId++;
    const answered = this.#first(method, (message) => message.id === id);
    const session = this.#session === undefined ? {} : { sessionId: this.#session };
    this.#commands.write(`${JSON.stringify({ id, method, params, ...session })}\0`);
    const { result, error } = await answered;
    if (error !== undefined) throw new Error(`Chromium: ${method}: ${error.message}`);
    return result ?? {};
  }

  /** The next event of a name. */
  async event(method: string): Promise<Readonly<Record<string, unknown>>> {
    const { params } = await this.#first(method, (message) => message.method === method);
    return params ?? {};
  }

  /** Hears every message from now on. */
  listen(listener: (message: DevToolsMessage) => void): void {
    this.#listeners.add(listener);
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#child.once('close', resolve));
    await this.send('Browser.close');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 3_000);
    await closed;
    clearTimeout(timer);
  }

  #first(what: string, fits: (message: DevToolsMessage) => boolean): Promise<DevToolsMessage> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#listeners.delete(listener);
      };
      const listener = (message: DevToolsMessage): void => {
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

const answerTimeoutMs = 30_000;
