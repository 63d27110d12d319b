import { chmodSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { run } from '../interop/processes.ts';
import { echoServer, exchange } from './exchange.ts';
import { unless } from './report.ts';
import { SidecarProcess } from './sidecar-process.ts';
import { applicationTimeouts as timeouts, limitMs, type Stage } from './stage.ts';

/** Callers who are not whom the sidecar was told of. */
export async function callers(stage: Stage): Promise<void> {
  await tokens(stage);
  await foreignUser(stage);
}

async function tokens({ fixture, library, report }: Stage): Promise<void> {
  const sidecar = new SidecarProcess(fixture, {
    name: 'tokens',
    role: 'client',
    listener: '    allow: [{ tokenFile: ./token, identities: [only] }]\n',
  });
  writeFileSync(path.join(sidecar.directory, 'token'), `${goodToken}\n`, { mode: 0o600 });
  await sidecar.start();
  const peer = await SidecarProcess.started(fixture, { name: 'tokens-peer', role: 'server' });
  const serverSide = library.createOffload({ address: peer.address, timeouts });
  const server = await echoServer(serverSide);
  for (const { name, token, code } of [
    { name: 'no token', token: undefined, code: 'ERR_OFFLOAD_UNAUTHENTICATED' },
    { name: 'a wrong token', token: wrongToken, code: 'ERR_OFFLOAD_UNAUTHENTICATED' },
    { name: 'the right token', token: goodToken, code: 'ok' },
  ]) {
    const client = library.createOffload({ address: sidecar.address, timeouts, token });
    const ending = await exchange(client, server.port, { limitMs });
    const told = `${ending.error?.message ?? ''}${sidecar.daemon.output}`;
    report.check(`a caller with ${name}`, [
      ...unless(ending.code === code, `ends with ${ending.code}`),
      ...unless(!told.includes(goodToken) && !told.includes(wrongToken), 'a token is repeated'),
    ]);
    await client.close();
  }
  await Promise.all([server.close(), serverSide.close(), sidecar.stop()]);
  await peer.stop();
}

/** Another user of this host, who can open the socket all the same. */
async function foreignUser({ fixture, report }: Stage): Promise<void> {
  if (process.getuid?.() !== 0) {
    report.skip('another user', 'only root can be somebody else');
    return;
  }
  // Everybody may reach the sockets; who may use them is another question.
  chmodSync(fixture.directory, 0o711);
  for (const { mode, what } of [
    { mode: '0600', what: 'by the mode of the socket' },
    { mode: '0666', what: 'by what the kernel says of them' },
  ]) {
    const sidecar = await SidecarProcess.started(fixture, {
      name: `foreign-${mode}`,
      role: 'client',
      listener: `    mode: "${mode}"\n`,
    });
    const built = path.join(import.meta.dirname, '../../dist/offload/index.js');
    const { stdout, stderr } = await run(process.execPath, ['--input-type=module', '-e', script], {
      environment: { BUILT: built, SIDEKEY_ADDRESS: sidecar.address, NOBODY: String(nobody) },
    });
    const said = stdout.toString().trim();
    report.check(`another user, refused ${what}`, [
      ...unless(said === 'ERR_OFFLOAD_DENIED', `ends with ${said} ${stderr.trim()}`),
    ]);
    await sidecar.stop();
  }
}

/** Loads the library as root, who can read it wherever it is; dials as nobody. */
const script = `
const { createOffload } = await import(process.env.BUILT);
const nobody = Number(process.env.NOBODY);
process.setgroups([]);
process.setgid(nobody);
process.setuid(nobody);
const offload = createOffload();
try {
  await offload.listIdentities();
  console.log('ok');
} catch (error) {
  console.log(error.code);
}
await offload.close();
`;

const nobody = 65_534;
const goodToken = 'canary-good-token-0123456789';
const wrongToken = 'canary-wrong-token-9876543210';
