import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { pino } from 'pino';
import { BootstrapIdentity } from '../../src/identity/index.ts';
import { parseCertificate, verifySelfSigned } from '../../src/pki/index.ts';
import { eventually, FakeClock, turns } from './support/fake-clock.ts';

const day = 86_400_000;

describe('a bootstrap identity', () => {
  let root: string;
  let directory: string;
  let clock: FakeClock;
  const open: BootstrapIdentity[] = [];

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'sidekey-bootstrap-'));
    directory = join(root, 'bootstrap');
    clock = new FakeClock(Date.now());
  });

  afterEach(async () => {
    for (const identity of open.splice(0)) await identity.close();
    rmSync(root, { recursive: true, force: true });
  });

  async function start(): Promise<BootstrapIdentity> {
    const identity = await BootstrapIdentity.open({
      name: 'bootstrap',
      directory,
      now: clock.now,
      timers: clock,
      log: pino({ level: 'silent' }),
    });
    open.push(identity);
    await identity.start();
    return identity;
  }

  async function restart(identity: BootstrapIdentity): Promise<BootstrapIdentity> {
    await identity.close();
    return await start();
  }

  function leaf({ current }: BootstrapIdentity): X509Certificate {
    return new X509Certificate(current!.chain[0]!);
  }

  function keyHash(identity: BootstrapIdentity): string {
    const info = createPublicKey(identity.current!.privateKey).export({
      type: 'spki',
      format: 'der',
    });
    return createHash('sha256').update(info).digest('hex');
  }

  it('makes a key and a certificate of its own, for both sides of TLS', async () => {
    const identity = await start();
    const certificate = leaf(identity);
    expect(certificate.subject).to.equal('CN=sidekey bootstrap');
    expect(certificate.verify(certificate.publicKey)).to.equal(true);
    expect(certificate.checkPrivateKey(identity.current!.privateKey)).to.equal(true);
    expect(certificate.publicKey.asymmetricKeyDetails).to.include({ namedCurve: 'prime256v1' });
    expect(certificate.subjectAltName).to.equal(undefined);
    const parsed = parseCertificate(identity.current!.chain[0]!);
    for (const purpose of ['client', 'server'] as const) {
      verifySelfSigned(parsed, { now: clock.now(), purpose });
    }
    expect(parsed.notAfter.getTime() - clock.now().getTime()).to.be.within(364 * day, 366 * day);
    expect(identity.isShut).to.equal(false);
    expect(identity.problem).to.equal(undefined);
  });

  it('keeps key and certificate over restarts, in files of nobody else', async () => {
    const first = await start();
    const hash = keyHash(first);
    const { version } = first.current!;
    const second = await restart(first);
    expect(keyHash(second)).to.equal(hash);
    expect(second.current!.version).to.equal(version);
    for (const name of readdirSync(directory)) {
      if (!name.startsWith('lock'))
        expect(statSync(join(directory, name)).mode & 0o777).to.equal(0o600);
    }
    expect(statSync(directory).mode & 0o777).to.equal(0o700);
  });

  it('renews its certificate in time, for the same key', async () => {
    const identity = await start();
    const hash = keyHash(identity);
    const before = leaf(identity).fingerprint256;
    let changes = 0;
    identity.onChange(() => (changes += 1));
    clock.advance(200 * day);
    await turns(20);
    expect(leaf(identity).fingerprint256).to.equal(before);
    for (let days = 200; days < 260; days += 1) clock.advance(day);
    await eventually(() => changes > 0, 'renewed');
    expect(leaf(identity).fingerprint256).not.to.equal(before);
    expect(keyHash(identity)).to.equal(hash);
  });

  it('renews at its start what expired while it was off', async () => {
    const first = await start();
    const hash = keyHash(first);
    await first.close();
    clock.advance(800 * day);
    const second = await start();
    expect(keyHash(second)).to.equal(hash);
    const { notAfter } = parseCertificate(second.current!.chain[0]!);
    expect(notAfter.getTime()).to.be.above(clock.now().getTime());
  });

  it('is shut at once and for ever, its key destroyed', async () => {
    const identity = await start();
    const key = identity.current!.privateKey.export({ type: 'pkcs8', format: 'der' });
    const shut = identity.shut();
    expect(identity.current).to.equal(undefined);
    expect(identity.isShut).to.equal(true);
    await shut;
    await identity.shut();
    expect(identity.problem).to.equal(undefined);
    for (const name of readdirSync(directory)) {
      expect(readFileSync(join(directory, name)).includes(key.subarray(-32))).to.equal(false);
    }
    clock.advance(1000 * day);
    const after = await restart(identity);
    expect(after.isShut).to.equal(true);
    expect(after.current).to.equal(undefined);
  });

  it('overwrites the files it replaces', async () => {
    const identity = await start();
    const key = identity.current!.privateKey.export({ type: 'pkcs8', format: 'der' });
    for (const name of ['bootstrap', 'bootstrap.copy']) {
      linkSync(join(directory, name), join(root, `${name}.linked`));
      expect(readFileSync(join(root, `${name}.linked`)).includes(key.subarray(-32))).to.equal(true);
    }
    await identity.shut();
    for (const name of ['bootstrap', 'bootstrap.copy']) {
      expect(readFileSync(join(root, `${name}.linked`)).every((byte) => byte === 0)).to.equal(true);
    }
  });

  it('opens again with another key', async () => {
    const identity = await start();
    const hash = keyHash(identity);
    await identity.reopen();
    expect(keyHash(identity), 'is open already').to.equal(hash);
    await identity.shut();
    await identity.reopen();
    expect(identity.isShut).to.equal(false);
    const reopened = keyHash(identity);
    expect(reopened).not.to.equal(hash);
    expect(keyHash(await restart(identity))).to.equal(reopened);
  });

  it('mends a damaged file from its copy', async () => {
    const first = await start();
    const hash = keyHash(first);
    await first.close();
    writeFileSync(join(directory, 'bootstrap'), 'damaged');
    expect(keyHash(await start())).to.equal(hash);
  });

  for (const shutBefore of [false, true]) {
    it(`does not open when both files are damaged, ${shutBefore ? 'shut' : 'open'} before`, async () => {
      const first = await start();
      if (shutBefore) await first.shut();
      await first.close();
      for (const name of ['bootstrap', 'bootstrap.copy']) {
        const bytes = readFileSync(join(directory, name));
        bytes[bytes.length - 1]! ^= 1;
        writeFileSync(join(directory, name), bytes);
      }
      const second = await start();
      expect(second.current).to.equal(undefined);
      expect(second.problem).to.contain('damaged').and.to.contain('remove the directory');
      // Nor does it by itself later.
      clock.advance(day);
      await turns(20);
      expect(second.current).to.equal(undefined);
      await second.shut();
      expect((await restart(second)).isShut).to.equal(true);
    });
  }

  it('has no key that is not on disk, and tries again', async () => {
    const obstacle = join(directory, 'bootstrap.tmp');
    mkdirSync(obstacle, { recursive: true, mode: 0o700 });
    const identity = await start();
    expect(identity.current).to.equal(undefined);
    expect(identity.problem).to.contain('cannot write');
    rmSync(obstacle, { recursive: true });
    clock.advance(60_000);
    await eventually(() => identity.current !== undefined, 'a key');
    expect(identity.problem).to.equal(undefined);
    expect(existsSync(join(directory, 'bootstrap'))).to.equal(true);
  });
});
