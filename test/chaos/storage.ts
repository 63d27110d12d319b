import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { run } from '../interop/processes.ts';
import { builtCommand } from '../interop/sides/sidekey.ts';
import { echoServer, exchange } from './exchange.ts';
import { unless, until } from './report.ts';
import { SidecarProcess } from './sidecar-process.ts';
import { applicationTimeouts as timeouts, leftovers, limitMs, type Stage } from './stage.ts';

/** Files that go away, cannot be read or cannot be written, before and while a sidecar serves. */
export async function storage(stage: Stage): Promise<void> {
  const { fixture, report } = stage;
  const peer = await SidecarProcess.started(fixture, { name: 'peer', role: 'server' });
  const serverSide = stage.library.createOffload({ address: peer.address, timeouts });
  const server = await echoServer(serverSide);
  /** Whether an application of this sidecar can shake hands. */
  const serves = async (sidecar: SidecarProcess): Promise<string> => {
    const client = stage.library.createOffload({ address: sidecar.address, timeouts });
    const { code } = await exchange(client, server.port, { limitMs });
    await client.close();
    return code;
  };

  await fullDisk(stage, serves);
  await noRoomForLogs(stage, serves);
  await thingsThatVanish(stage, serves);
  await unreadableKey(stage, serves);
  await Promise.all([server.close(), serverSide.close()]);
  report.check('storage, leftovers', await leftovers([peer]));
  await peer.stop();
}

type Serves = (sidecar: SidecarProcess) => Promise<string>;

async function fullDisk({ fixture, report }: Stage, serves: Serves): Promise<void> {
  const place = mkdtempSync(path.join(tmpdir(), 'sidekey-full-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4k', 'tmpfs', place]);
  if (mounted.status !== 0) {
    rmSync(place, { recursive: true });
    report.skip('a full disk', 'a file system of a few bytes takes root to mount');
    return;
  }
  try {
    const state = path.join(place, 'state');
    mkdirSync(state);
    fill(path.join(place, 'ballast'));
    const sidecar = await SidecarProcess.started(fixture, {
      name: 'full-disk',
      role: 'client',
      state,
    });
    const code = await serves(sidecar);
    report.check('a full disk for its state', [...unless(code === 'ok', `ends with ${code}`)]);
    await sidecar.stop();
  } finally {
    spawnSync('umount', [place]);
    rmSync(place, { recursive: true, force: true });
  }
  const limited = new SidecarProcess(fixture, { name: 'no-files', role: 'client' });
  await limited.start(['/bin/sh', '-c', 'ulimit -f 0; exec "$@"', 'sh']);
  const code = await serves(limited);
  report.check('no file may grow', [...unless(code === 'ok', `ends with ${code}`)]);
  await limited.stop();
}

/** Logs that cannot be written must not end what they tell of. */
async function noRoomForLogs({ fixture, report }: Stage, serves: Serves): Promise<void> {
  const sidecar = new SidecarProcess(fixture, { name: 'no-logs', role: 'client' });
  const { exited, stop } = sidecar.startDeaf();
  const up = await until(async () => (await serves(sidecar)) === 'ok', 10_000);
  report.check('a full disk for its logs', [
    ...unless(up, 'it does not serve'),
    ...unless(!exited(), 'it ended'),
  ]);
  await stop();
}

async function thingsThatVanish({ fixture, report }: Stage, serves: Serves): Promise<void> {
  const sidecar = await SidecarProcess.started(fixture, { name: 'vanishing', role: 'client' });
  rmSync(path.join(sidecar.directory, 'state'), { recursive: true, force: true });
  const withoutState = await serves(sidecar);
  report.check('a vanished state directory', [
    ...unless(withoutState === 'ok', `ends with ${withoutState}`),
  ]);
  rmSync(sidecar.socketPath);
  const withoutSocket = await serves(sidecar);
  report.check('a vanished socket', [
    ...unless(withoutSocket === 'ERR_OFFLOAD_UNAVAILABLE', `ends with ${withoutSocket}`),
  ]);
  await sidecar.stop();
  await sidecar.start();
  const again = await serves(sidecar);
  report.check('a restart after the socket vanished', [
    ...unless(again === 'ok', `ends with ${again}`),
  ]);
  await sidecar.stop();
}

async function unreadableKey({ fixture, report }: Stage, serves: Serves): Promise<void> {
  const sidecar = await SidecarProcess.started(fixture, { name: 'key', role: 'client' });
  const { privateKeyFile } = fixture.client.ecdsa;
  renameSync(privateKeyFile, `${privateKeyFile}.away`);
  // Root may read whatever has a name; nobody reads a directory as a key.
  mkdirSync(privateKeyFile);
  try {
    await sidecar.daemon.waitFor(/identity not reloaded, the old one stays in use/);
    const code = await serves(sidecar);
    report.check('a key that cannot be read any more', [
      ...unless(code === 'ok', `ends with ${code}`),
    ]);
    await sidecar.stop();
    const { code: exit, stderr } = await run(process.execPath, [
      ...[builtCommand, 'sidecar', '--config', sidecar.configuration],
    ]);
    report.check('a start without its key', [
      ...unless(exit === 1, `exit code ${String(exit)}`),
      ...unless(stderr.includes(privateKeyFile), 'does not name the file'),
    ]);
  } finally {
    rmSync(privateKeyFile, { recursive: true });
    renameSync(`${privateKeyFile}.away`, privateKeyFile);
  }
}

function fill(file: string): void {
  try {
    writeFileSync(file, Buffer.alloc(1_000_000));
  } catch (error) {
    // As much as went in.
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
  }
}
