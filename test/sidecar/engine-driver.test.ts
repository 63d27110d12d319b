import { expect } from 'chai';
import type { Action, Handshake, SignAction } from '../../src/tls/config.ts';
import { EngineDriver, type Progress } from '../../src/sidecar/engine-driver.ts';

const send = (text: string): Action => ({ type: 'send', bytes: Buffer.from(text) });
// A driver never looks into what it hands on.
const sign = { type: 'sign' } as SignAction;
const verify = { type: 'verifyChain' } as Action;
const failure = { kind: 'local', reason: 'r', message: 'm', phase: 'p' } as const;

/** An engine that answers each call with what the test says. */
class ScriptedHandshake implements Handshake {
  readonly phase = 'Scripted';
  readonly calls: string[] = [];
  readonly #script: Readonly<Record<string, readonly Action[]>>;

  constructor(script: Readonly<Record<string, readonly Action[]>>) {
    this.#script = script;
  }

  start(): readonly Action[] {
    return this.#answer('start');
  }
  receive(bytes: Uint8Array): readonly Action[] {
    return this.#answer(`receive ${Buffer.from(bytes).toString()}`);
  }
  signed(signature: Uint8Array): readonly Action[] {
    return this.#answer(`signed ${Buffer.from(signature).toString()}`);
  }
  verified({ ok }: { ok: boolean }): readonly Action[] {
    return this.#answer(`verified ${String(ok)}`);
  }
  abort(alert: string, reason: string): readonly Action[] {
    return this.#answer(`abort ${alert} ${reason}`);
  }
  wipe(): void {
    this.calls.push('wipe');
  }

  #answer(call: string): readonly Action[] {
    this.calls.push(call);
    return this.#script[call] ?? [];
  }
}

function drive(
  script: Readonly<Record<string, readonly Action[]>>,
  signer: () => Uint8Array | Promise<Uint8Array> = () => Buffer.from('S'),
) {
  const engine = new ScriptedHandshake(script);
  const broken: unknown[] = [];
  const driver = new EngineDriver(engine, {
    sign: signer,
    verify: () => ({ ok: false, alert: 'unknown_ca', reason: 'r', message: 'm' }),
    broken: (error) => broken.push(error),
  });
  const progress: Progress[] = [];
  return { engine, driver, broken, progress, answer: (one: Progress) => progress.push(one) };
}

const text = ({ out }: Progress): string => Buffer.from(out).toString();

describe('EngineDriver', () => {
  it('carries out everything the engine asks before it answers', () => {
    const { driver, engine, progress, answer } = drive({
      'receive x': [send('a'), sign],
      'signed S': [send('b'), verify],
      'verified false': [send('c')],
    });
    driver.receive(Buffer.from('x'), answer);
    expect(engine.calls).to.deep.equal(['receive x', 'signed S', 'verified false']);
    expect(progress.map(({ tag }) => tag)).to.deep.equal(['more']);
    expect(text(progress[0]!)).to.equal('abc');
  });

  it('answers later when a signature is made elsewhere', async () => {
    const signature = Promise.resolve(Buffer.from('L'));
    const { driver, progress, answer } = drive(
      { start: [send('a'), sign], 'signed L': [send('b')] },
      () => signature,
    );
    driver.start(answer);
    expect(progress).to.have.length(0);
    await settled();
    expect(progress.map(text)).to.deep.equal(['ab']);
  });

  for (const { name, signer } of [
    {
      name: 'at once',
      signer: () => {
        throw new Error('secret detail');
      },
    },
    { name: 'later', signer: () => Promise.reject(new Error('secret detail')) },
  ]) {
    it(`aborts the handshake when the key fails ${name}`, async () => {
      const { driver, progress, answer, engine } = drive(
        {
          start: [sign],
          'abort internal_error signing_failed': [send('alert'), { type: 'failed', failure }],
        },
        signer,
      );
      driver.start(answer);
      await settled();
      expect(engine.calls).to.include('abort internal_error signing_failed');
      expect(progress.map(({ tag }) => tag)).to.deep.equal(['failed']);
      expect(text(progress[0]!)).to.equal('alert');
    });
  }

  it('drops a signature that comes after the handshake was aborted', async () => {
    const { driver, engine, progress, answer } = drive(
      { start: [sign], 'abort user_canceled late': [{ type: 'failed', failure }] },
      () => Promise.resolve(Buffer.from('L')),
    );
    driver.start(answer);
    expect(driver.abort('user_canceled', 'late', 'm')?.tag).to.equal('failed');
    await settled();
    expect(engine.calls).to.deep.equal(['start', 'abort user_canceled late']);
    expect(progress).to.have.length(0);
  });

  it('drops a signature that comes after everything was wiped', async () => {
    const { driver, engine, answer } = drive({ start: [sign] }, () =>
      Promise.resolve(Buffer.from('L')),
    );
    driver.start(answer);
    driver.wipe();
    await settled();
    expect(engine.calls).to.deep.equal(['start', 'wipe']);
  });

  it('reports what breaks while nobody is calling', async () => {
    const { driver, broken } = drive({ start: [sign] }, () => Promise.resolve(Buffer.from('L')));
    const mistake = new Error('mistake');
    driver.start(() => {
      throw mistake;
    });
    await settled();
    expect(broken).to.deep.equal([mistake]);
  });
});

async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
