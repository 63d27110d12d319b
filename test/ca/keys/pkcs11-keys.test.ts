import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import { toHex } from '../../../src/bytes/bytes.ts';
import { verifySignature } from '../../../src/crypto/signatures.ts';
import { type AuthorityKeyType, KeyManagerError } from '../../../src/ca/keys/key-manager.ts';
import { NO_ANSWER, Pkcs11Error, Pkcs11Module } from '../../../src/ca/keys/pkcs11-module.ts';
import {
  isPkcs11Ref,
  openPkcs11Keys,
  type Pkcs11Keys,
  type Pkcs11KeysOptions,
} from '../../../src/ca/keys/pkcs11-keys.ts';
import { Attribute, ObjectClass } from '../../../src/ca/keys/pkcs11-codes.ts';
import { encodeTemplate, roomFor } from '../../../src/ca/keys/pkcs11-template.ts';
import { splitKeys } from '../../../src/ca/keys/split-keys.ts';
import { nodeTimers } from '../../../src/ca/timers.ts';
import { defaultScheme } from '../../../src/pki/signature-algorithm.ts';
import { MemoryKeys } from '../rotation/authority.ts';
import { type SoftHsm, startSoftHsm } from './soft-hsm.ts';
import { skip } from '../../support/skip.ts';

describe('keys on a PKCS #11 token', function () {
  this.timeout(60_000);
  let hsm: SoftHsm;
  let keys: Pkcs11Keys;
  let token: { readonly tokenLabel: string; readonly pinPath: string };
  let labels = 0;

  before(function () {
    const started = startSoftHsm();
    if ('unavailable' in started) {
      return skip(this, `PKCS #11: ${started.unavailable}`);
    }
    hsm = started;
  });

  after(() => {
    (hsm as SoftHsm | undefined)?.remove();
  });

  beforeEach(async () => {
    token = hsm.token(`token-${String((labels += 1))}`);
    keys = await open();
  });

  afterEach(() => keys.close());

  for (const type of ['ecdsa-p256', 'ecdsa-p384', 'ed25519'] as const) {
    it(`makes a key of type ${type} that signs, also after a new start`, async function () {
      if (!keys.supports(type)) return skip(this, `the token has no keys of type ${type}`);
      const { ref, publicKey } = await keys.generate(type);
      expect(isPkcs11Ref(ref)).to.equal(true);
      await expectSignatures(type, ref);
      await keys.close();
      keys = await open();
      const again = await keys.open(ref);
      expect(again.type).to.equal(type);
      expect(spki(again.publicKey)).to.equal(spki(publicKey));
      await expectSignatures(type, ref);
    });
  }

  it('keeps the module in memory as long as it calls it', async () => {
    const { ref } = await keys.generate('ecdsa-p256');
    const collect = collector();
    for (let count = 0; count < 3; count += 1) {
      collect();
      // What was collected is freed by and by.
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(readFileSync('/proc/self/maps', 'utf8')).to.contain(basename(hsm.modulePath));
    await expectSignatures('ecdsa-p256', ref);
  });

  it('signs a batch over its sessions, in order', async () => {
    const { ref, publicKey } = await keys.generate('ecdsa-p256');
    const contents = Array.from({ length: 101 }, () => randomBytes(200));
    const signatures = await (await keys.open(ref)).signAll(contents);
    for (const [index, content] of contents.entries()) {
      expect(verifySignature(publicKey, 0x0403, content, signatures[index]!)).to.equal(true);
    }
  });

  it('serves many callers at once', async () => {
    const { ref, publicKey } = await keys.generate('ecdsa-p256');
    const key = await keys.open(ref);
    const content = randomBytes(32);
    const all = await Promise.all(Array.from({ length: 40 }, () => key.signAll([content])));
    for (const [signature] of all) {
      expect(verifySignature(publicKey, 0x0403, content, signature!)).to.equal(true);
    }
  });

  it('does not let the private key out', async () => {
    const { ref } = await keys.generate('ecdsa-p256');
    const module = await Pkcs11Module.open({
      path: hsm.modulePath,
      timers: nodeTimers,
      timeoutMs: 5000,
    });
    // CKA_VALUE, over a session of its own that shares the login.
    const value = await readPrivate(module, ref, 0x11).catch((error: unknown) => error);
    expect(value).to.be.instanceOf(Pkcs11Error);
    // CKR_ATTRIBUTE_SENSITIVE
    expect((value as Pkcs11Error).code).to.equal(0x11);
    expect(await readPrivate(module, ref, Attribute.extractable)).to.deep.equal(Uint8Array.of(0));
    await module.close();
  });

  it('destroys a key, and one that is gone already', async () => {
    const { ref } = await keys.generate('ecdsa-p256');
    await keys.destroy(ref);
    await keys.destroy(ref);
    await expectProblem(keys.open(ref), /there is no key pkcs11:[0-9a-f]{32} on token/);
  });

  it('says that a key it has opened is gone', async () => {
    const { ref } = await keys.generate('ecdsa-p256');
    const key = await keys.open(ref);
    await key.signAll([randomBytes(1)]);
    await keys.destroy(ref);
    await expectProblem(key.signAll([randomBytes(1)]), /there is no key|handle/);
  });

  it('refuses references that are not its own', async () => {
    await expectProblem(keys.open('disk:1'), /is no key on a PKCS #11 token/);
    await expectProblem(keys.open('pkcs11:..'), /is no key on a PKCS #11 token/);
  });

  it('goes on after the module was restarted behind its back', async () => {
    const { ref, publicKey } = await keys.generate('ecdsa-p256');
    const key = await keys.open(ref);
    await restartModule();
    const content = randomBytes(32);
    const [signature] = await key.signAll([content]);
    expect(verifySignature(publicKey, 0x0403, content, signature!)).to.equal(true);
  });

  it('tries a wrong PIN once and not again before its file changes', async () => {
    await keys.close();
    const pinPath = hsm.pinFile('000000');
    const module = hsm.modulePath;
    await expectProblem(
      openPkcs11Keys({ ...options(), modulePath: module, pinPath }),
      /refuses the PIN in .*pin-\d+: it is not tried again.*pin incorrect/,
    );
    keys = await open();
    const { ref } = await keys.generate('ecdsa-p256');
    const key = await keys.open(ref);
    // The login is lost and the file has become wrong: one attempt, then none.
    writeFileSync(token.pinPath, 'wrong!\n');
    await restartModule();
    await expectProblem(key.signAll([randomBytes(1)]), /pin incorrect/);
    for (let attempt = 0; attempt < 10; attempt += 1) {
      await expectProblem(
        key.signAll([randomBytes(1)]),
        /not tried again before the file changes$/,
      );
    }
    writeFileSync(token.pinPath, '123456\n');
    expect(await key.signAll([randomBytes(1)])).to.have.length(1);
  });

  it('says what is missing', async () => {
    await expectProblem(openPkcs11Keys({ ...options(), tokenLabel: 'nope' }), /no token "nope"/);
    await expectProblem(
      openPkcs11Keys({ ...options(), modulePath: '/nonexistent.so' }),
      /is no PKCS #11 module/,
    );
    await expectProblem(
      openPkcs11Keys({ ...options(), pinPath: '/nonexistent' }),
      /cannot read the PIN/,
    );
  });

  it('does not wait for ever, nor for more than a few calls that hang', async () => {
    const late: (() => void)[] = [];
    const impatient = await Pkcs11Module.open({
      path: hsm.modulePath,
      timers: {
        after: (_ms, callback) => {
          late.push(callback);
          return () => undefined;
        },
      },
      timeoutMs: 1,
    });
    const count = Buffer.alloc(8);
    const calls = [0, 1].map(() => impatient.call('C_GetSlotList', 1, null, count));
    // The first timer is of the initialisation, which is over.
    for (const callback of late.slice(1)) callback();
    const more = impatient.call('C_GetSlotList', 1, null, count);
    for (const call of [...calls, more]) {
      const error: unknown = await call.catch((reason: unknown) => reason);
      expect(error).to.be.instanceOf(Pkcs11Error);
      expect((error as Pkcs11Error).code).to.equal(NO_ANSWER);
    }
    await impatient.close();
  });

  it('leaves kinds that a token does not make to another key manager', async () => {
    const memory = new MemoryKeys();
    const split = splitKeys(
      { keys, supports: (type) => type !== 'ed25519', owns: isPkcs11Ref },
      memory,
    );
    const onToken = await split.generate('ecdsa-p256');
    const beside = await split.generate('ed25519');
    expect(isPkcs11Ref(onToken.ref)).to.equal(true);
    expect(isPkcs11Ref(beside.ref)).to.equal(false);
    for (const { ref } of [onToken, beside]) {
      expect(await (await split.open(ref)).signAll([randomBytes(9)])).to.have.length(1);
      await split.destroy(ref);
      await expectProblem(split.open(ref), /there is no key/);
    }
  });

  function options(): Pkcs11KeysOptions {
    return {
      modulePath: hsm.modulePath,
      ...token,
      random: (length) => randomBytes(length),
      timers: nodeTimers,
    };
  }

  function open(): Promise<Pkcs11Keys> {
    return openPkcs11Keys(options());
  }

  async function expectSignatures(type: AuthorityKeyType, ref: string): Promise<void> {
    const key = await keys.open(ref);
    const contents = [randomBytes(1), randomBytes(31), randomBytes(5000)];
    const signatures = await key.signAll(contents);
    for (const [index, content] of contents.entries()) {
      const signature = signatures[index]!;
      expect(verifySignature(key.publicKey, defaultScheme(type), content, signature)).to.equal(
        true,
      );
    }
  }

  /** As a module does whose daemon was restarted: all sessions and the login are gone. */
  async function restartModule(): Promise<void> {
    const module = await Pkcs11Module.open({
      path: hsm.modulePath,
      timers: nodeTimers,
      timeoutMs: 5000,
    });
    await module.call('C_Finalize', null);
    await module.close();
    const again = await Pkcs11Module.open({
      path: hsm.modulePath,
      timers: nodeTimers,
      timeoutMs: 5000,
    });
    await again.close();
  }
});

async function readPrivate(
  module: Pkcs11Module,
  ref: string,
  attribute: number,
): Promise<Uint8Array> {
  const count = Buffer.alloc(8);
  await module.call('C_GetSlotList', 1, null, count);
  const slots = Buffer.alloc(8 * Number(count.readBigUInt64LE()));
  await module.call('C_GetSlotList', 1, slots, count);
  const template = encodeTemplate(module, [
    [Attribute.class, ObjectClass.privateKey],
    [Attribute.id, Buffer.from(ref.slice('pkcs11:'.length), 'hex')],
  ]);
  for (let at = 0; at < slots.length; at += 8) {
    const handle = Buffer.alloc(8);
    const slot = Number(slots.readBigUInt64LE(at));
    await module.call('C_OpenSession', slot, 6, null, null, handle);
    const session = Number(handle.readBigUInt64LE());
    const found = Buffer.alloc(8);
    await module.call('C_FindObjectsInit', session, template.bytes, template.count);
    await module.call('C_FindObjects', session, found, 1, count);
    await module.call('C_FindObjectsFinal', session);
    if (count.readBigUInt64LE() === 0n) continue;
    const room = roomFor(module, [attribute]);
    const key = Number(found.readBigUInt64LE());
    await module.call('C_GetAttributeValue', session, key, room.bytes, room.count);
    return Uint8Array.from(room.read(0));
  }
  throw new Error('no such key');
}

async function expectProblem(action: Promise<unknown>, message: RegExp): Promise<void> {
  const error: unknown = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).to.be.instanceOf(KeyManagerError);
  expect((error as Error).message).to.match(message);
}

function spki(key: { export(options: { type: 'spki'; format: 'der' }): Buffer }): string {
  return toHex(key.export({ type: 'spki', format: 'der' }));
}

/** Collects garbage, without a flag for all tests. */
function collector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
