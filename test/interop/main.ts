import { parseArgs } from 'node:util';
import { createBench } from './checks/check.ts';
import { allChecks, formatChecks, runCheck } from './checks/run-checks.ts';
import type { Checked } from './checks/run-checks.ts';
import { scannerChecks } from './checks/scanners.ts';
import type { Cell, Outcome } from './cell.ts';
import { createFixture } from './fixture.ts';
import { createJobs, runJob } from './matrix.ts';
import type { Peer } from './peer.ts';
import { botan } from './peers/botan.ts';
import { chromium } from './peers/chromium.ts';
import { curl } from './peers/curl.ts';
import { gnutls } from './peers/gnutls.ts';
import { go } from './peers/go.ts';
import { java } from './peers/java.ts';
import { lighttpd } from './peers/lighttpd.ts';
import { node } from './peers/node.ts';
import { nss } from './peers/nss.ts';
import { openssl } from './peers/openssl.ts';
import { inParallel } from './pool.ts';
import { builtCommand, sidekeySide } from './sides/sidekey.ts';
import { stockSide } from './sides/stock.ts';
import { formatTable } from './table.ts';

const usage = `Shakes hands with stock TLS peers, in both roles, and checks what both sides say.

  --only WORD   peers and checks whose name has WORD in it
  --control     node:tls in the place of Sidekey: is it the harness or a peer that fails?
  --command F   main file of the command; default: dist/cli/main.js
  --no-scan     leave nmap and testssl out
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: '' },
      control: { type: 'boolean', default: false },
      command: { type: 'string', default: builtCommand },
      'no-scan': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    print(usage);
    return 0;
  }
  const startedAt = Date.now();
  const wanted = (name: string): boolean => name.toLowerCase().includes(values.only.toLowerCase());
  const fixture = createFixture();
  const ours = values.control ? stockSide(fixture) : await sidekeySide(fixture, values.command);
  const bench = createBench(ours, fixture);
  const peers = await probeAll(allPeers.filter(({ name }) => wanted(name)));
  const checks = [...(values['no-scan'] ? [] : scannerChecks), ...allChecks].filter(
    ({ heading, name }) => wanted(heading) || wanted(name),
  );

  const cells: Cell[] = [];
  const checked: Checked[] = [];
  await inParallel(parallel, [
    // First the scanners, which mostly wait.
    ...checks.map((check) => async () => {
      const done = await runCheck(check, bench, values.control);
      checked.push(done);
      announce(done.outcome, `${check.heading}: ${check.name}`);
    }),
    ...createJobs(peers, bench).map((job) => async () => {
      const done = await runJob(job);
      cells.push(...done);
      for (const { outcome, resumed } of done) {
        const kind = `${job.row.key}${job.row.clientCertificate ? ' mutual' : ''}`;
        const handshake = resumed ? 'resumed' : 'full';
        announce(outcome, `${job.peer.name} as ${job.role}, ${kind}, ${handshake}`);
      }
    }),
  ]);
  await bench.close();
  await ours.close();
  fixture.remove();

  const outcomes = [...cells, ...checked].map(({ outcome }) => outcome);
  const count = (status: Outcome['status']): number =>
    outcomes.filter((outcome) => outcome.status === status).length;
  if (cells.length > 0) print(`\n${formatTable(cells)}\n`);
  if (checked.length > 0) print(`\n${formatChecks(checked)}\n`);
  print(
    `\n${ours.name}: ${String(count('passed'))} passed, ${String(count('failed'))} failed, ` +
      `${String(count('skipped'))} skipped in ${String(Math.round((Date.now() - startedAt) / 1000))} s\n`,
  );
  return count('failed') === 0 && count('passed') > 0 ? 0 : 1;
}

async function probeAll(
  peers: readonly Peer[],
): Promise<readonly { readonly peer: Peer; readonly missing: string | undefined }[]> {
  const probed = [];
  for (const peer of peers) {
    const found = await peer.probe();
    const missing = 'missing' in found ? found.missing : undefined;
    print(`${peer.name.padEnd(18)}${'missing' in found ? found.missing : found.version}\n`);
    probed.push({ peer, missing });
  }
  return probed;
}

/** Failures are worth knowing before the table is there. */
function announce(outcome: Outcome, what: string): void {
  if (outcome.status === 'failed') print(`FAILED ${what}: ${outcome.why}\n`);
}

function print(text: string): void {
  process.stdout.write(text);
}

/** More would make the busy machine the reason for failures. */
const parallel = 4;

const allPeers: readonly Peer[] = [
  ...[openssl, gnutls, nss, botan, ...lighttpd, node, go, java, curl, chromium],
];

process.exitCode = await main();
