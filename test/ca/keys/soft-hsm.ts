import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Tokens of SoftHSM 2 in a directory of their own. */
export interface SoftHsm {
  readonly modulePath: string;
  /** Makes a token and a file with its PIN. */
  token(label: string, pin?: string): { readonly tokenLabel: string; readonly pinPath: string };
  pinFile(pin: string): string;
  remove(): void;
}

/** Debian's package softhsm2; without it, why not. The process reads its configuration once. */
export function startSoftHsm(): SoftHsm | { readonly unavailable: string } {
  const modulePath = paths.find((path) => existsSync(path));
  if (modulePath === undefined) return { unavailable: 'softhsm2 is not installed' };
  const directory = mkdtempSync(join(tmpdir(), 'sidekey-softhsm-'));
  const configuration = join(directory, 'softhsm2.conf');
  const tokens = join(directory, 'tokens');
  mkdirSync(tokens);
  writeFileSync(configuration, `directories.tokendir = ${tokens}\nlog.level = ERROR\n`);
  const before = process.env['SOFTHSM2_CONF'];
  process.env['SOFTHSM2_CONF'] = configuration;
  let files = 0;
  const pinFile = (pin: string) => {
    const path = join(directory, `pin-${String((files += 1))}`);
    writeFileSync(path, `${pin}\n`, { mode: 0o600 });
    return path;
  };
  return {
    modulePath,
    pinFile,
    token: (label, pin = '123456') => {
      execFileSync(
        'softhsm2-util',
        ['--init-token', '--free', '--label', label, '--pin', pin, '--so-pin', '87654321'],
        { stdio: ['ignore', 'ignore', 'pipe'] },
      );
      return { tokenLabel: label, pinPath: pinFile(pin) };
    },
    remove: () => {
      if (before === undefined) delete process.env['SOFTHSM2_CONF'];
      else process.env['SOFTHSM2_CONF'] = before;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

const paths = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
];
