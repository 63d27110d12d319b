import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { randomBytes } from '../../../src/crypto/random.ts';
import { EnrolledIdentity, type EnrolledIdentityOptions } from '../../../src/identity/index.ts';
import type { FakeAuthority } from './fake-authority.ts';
import type { FakeClock } from './fake-clock.ts';

/** Directories and identities of one test, gone after it. */
export class Hosts {
  readonly #root = mkdtempSync(join(tmpdir(), 'sidekey-identity-'));
  readonly #open = new Set<EnrolledIdentity>();

  directory(name = 'host'): string {
    return join(this.#root, name, 'identities', 'host');
  }

  /** A host of an authority in memory, which shares its clock. */
  async open(
    authority: FakeAuthority,
    clock: FakeClock,
    options: Partial<EnrolledIdentityOptions> = {},
  ): Promise<EnrolledIdentity> {
    return await this.openWith({
      dial: authority.dial,
      now: clock.now,
      timers: clock,
      ...options,
    });
  }

  async openWith(
    options: Partial<EnrolledIdentityOptions> & Pick<EnrolledIdentityOptions, 'dial' | 'now'>,
  ): Promise<EnrolledIdentity> {
    const identity = await EnrolledIdentity.open({
      name: 'host',
      directory: this.directory(),
      random: randomBytes,
      log: pino({ level: process.env['TEST_LOG_LEVEL'] ?? 'silent' }),
      version: '1.2.3',
      ...options,
    });
    this.#open.add(identity);
    return identity;
  }

  async close(): Promise<void> {
    for (const identity of this.#open) await identity.close();
    rmSync(this.#root, { recursive: true, force: true });
  }
}
