import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BuiltCommand, needsBuild } from '../../cli/built-command.ts';
import { Chromium, findChromium } from '../../support/chromium.ts';
import { eventually, ManagedFleet, type RunningManager } from '../../support/managed-fleet.ts';
import { skip } from '../../support/skip.ts';

const owner = { actor: 'owner', idempotencyKey: undefined };

/** As an operator sees them: a browser, `sidekey forward` with his identity, and the manager behind its HTTPS port. */
describe('the pages of a manager in a browser', function () {
  this.timeout(90_000);
  let all: ManagedFleet;
  let running: RunningManager;
  let forward: BuiltCommand;
  let browser: Chromium;
  let origin: string;
  let agent: string;
  /** What the browser had to complain about, or loaded. */
  const complaints: string[] = [];
  const requested: string[] = [];

  before(async function () {
    needsBuild(this);
    if (findChromium() === undefined) skip(this, 'no Chromium is installed');
    all = new ManagedFleet();
    await all.start();
    running = await all.startManager('admin: { https: 127.0.0.1:0 }');
    agent = await fleet();
    const operator = await all.fleet.startHost();
    await all.fleet.enroll(all.authority.running, operator, 'operator');
    forward = new BuiltCommand([
      ...['forward', '--sidecar', operator.composition.sidecar.address],
      ...['--listen', '127.0.0.1:0', '--to', running.manager.https!],
      ...['--target-identity', running.manager.status().spiffeId!],
    ]);
    const [, address] = await forward.says(/listening (\S+)/u);
    origin = `http://${address!}`;
    browser = await Chromium.start(all.directory('browser'), ['--window-size=1280,900']);
    browser.listen(({ method, params }) => {
      if (method === 'Log.entryAdded' || method === 'Runtime.exceptionThrown') {
        complaints.push(JSON.stringify(params));
      }
      if (method === 'Runtime.consoleAPICalled') complaints.push(JSON.stringify(params));
      if (method === 'Network.requestWillBeSent') {
        const { request } = params as { readonly request: { readonly url: string } };
        requested.push(request.url.replace(origin, ''));
      }
    });
  });
  beforeEach(() => {
    complaints.length = 0;
    requested.length = 0;
  });
  after(async () => {
    await browser.stop();
    await forward.stop();
    await all.close();
  });

  /** One agent that is active and has a past, one that waits, and one that is cut off. */
  async function fleet(): Promise<string> {
    const managers = `managers: ["${running.manager.listening!}"]\nreconnect: { least: 10ms, first: 20ms, most: 200ms }`;
    for (let count = 1; count <= 3; count += 1) {
      await all.startAgent({ enrolled: true, config: `mode: agent-initiated\n${managers}` });
      await eventually(() => running.manager.fleet.size === count);
    }
    const [first, , third] = [...running.manager.fleet.all()].map(({ row }) => row.id);
    await running.administration.activate(first!, undefined, owner);
    await running.administration.activate(third!, undefined, owner);
    await running.administration.change(third!, 'quarantine', 'looks odd', owner);
    await eventually(async () => {
      const { beats } = await running.administration.history(first!);
      const { events } = await running.administration.events(first!, { after: 0, limit: 10 });
      return beats.length > 4 && events.length > 0;
    });
    return first!;
  }

  /** SIDEKEY_SCREENSHOTS: a directory for what a person wants to look at. */
  async function screenshot(name: string): Promise<void> {
    const directory = process.env['SIDEKEY_SCREENSHOTS'];
    if (directory === undefined) return;
    const { data } = await browser.send('Page.captureScreenshot', { captureBeyondViewport: true });
    writeFileSync(join(directory, `${name}.png`), Buffer.from(String(data), 'base64'));
  }

  const textOf = async (selector: string): Promise<string> =>
    String(await browser.evaluate(`document.querySelector('${selector}')?.innerText`));

  it('show the fleet, with nothing but their own style', async () => {
    await browser.open(`${origin}/`);
    await screenshot('fleet');
    const text = await textOf('body');
    for (const said of [agent, 'active', 'pending', 'quarantined', 'TLSv1.2']) {
      expect(text).to.contain(said);
    }
    expect(requested).to.deep.equal(['/', '/style.css']);
    expect(complaints).to.deep.equal([]);
    expect(await browser.evaluate('document.scripts.length')).to.equal(0);
    // It was applied.
    const columns = await browser.evaluate(
      "getComputedStyle(document.querySelector('.tiles')).display",
    );
    expect(columns).to.equal('flex');
  });

  it('lead to an agent and its past as a plot', async () => {
    await browser.open(`${origin}/`);
    const loaded = browser.event('Page.loadEventFired');
    await browser.evaluate(`document.querySelector('a[href="/agents/${agent}"]').click()`);
    await loaded;
    await screenshot('agent');
    expect(await browser.evaluate('location.pathname')).to.equal(`/agents/${agent}`);
    expect(await textOf('body')).to.match(/\d+ heartbeats, 0 missed/u);
    const line = 'document.querySelector("svg.plot polyline").getBoundingClientRect().width';
    expect(await browser.evaluate(line)).to.be.above(100);
    expect(complaints).to.deep.equal([]);
  });

  it('show only agents in one state when asked', async () => {
    await browser.open(`${origin}/?state=quarantined`);
    expect(await browser.evaluate("document.querySelectorAll('tbody tr').length")).to.equal(1);
    expect(complaints).to.deep.equal([]);
  });

  it('let no script run and no style in that somebody smuggled in', async () => {
    await browser.open(`${origin}/`);
    await browser.evaluate(
      `document.body.append(Object.assign(document.createElement('script'), { textContent: 'smuggled = 1' }))`,
    );
    await browser.evaluate(
      `document.body.append(Object.assign(document.createElement('style'), { textContent: 'td { color: red }' }))`,
    );
    await eventually(() => complaints.length >= 2);
    for (const complaint of complaints) expect(complaint).to.contain('Content Security Policy');
    expect(await browser.evaluate('typeof smuggled')).to.equal('undefined');
  });
});
