import { createHash, randomBytes } from 'node:crypto';
import type { Outcome } from '../cell.ts';
import { startNodeServer } from '../node-tls.ts';
import { keyNames } from '../peer.ts';
import { run, tail } from '../processes.ts';
import { suites } from '../suites.ts';
import { failed, passed } from './check.ts';
import type { Bench, Check } from './check.ts';

const heading = 'megabytes there and back, each suite';

/** Records of all sizes in both directions, long enough that sequence numbers matter. */
export const transferChecks: readonly Check[] = suites.flatMap((suite) => {
  const row = {
    key: suite.authentication === 'RSA' ? keyNames[1] : keyNames[0],
    clientCertificate: false,
  };
  return [
    {
      heading,
      name: `OpenSSL client, ${suite.openssl}`,
      needs: ['openssl'],
      run: async (bench: Bench) => {
        const server = await bench.server(row, { mode: 'echo' });
        const payload = createPayload();
        const { stdout, stderr } = await run(
          'openssl',
          [
            ...[
              's_client',
              '-connect',
              `127.0.0.1:${String(server.port)}`,
              '-quiet',
              '-no_ign_eof',
            ],
            ...['-tls1_2', '-cipher', suite.openssl, '-CAfile', bench.fixture.rootsFile],
          ],
          { input: payload, keepInputOpen: true, endInputWhen: payloadEnd, timeoutMs: 60_000 },
        );
        return compare(payload, stdout, stderr);
      },
    },
    {
      heading,
      name: `node:tls server, ${suite.openssl}`,
      run: async (bench: Bench) => {
        const server = await startNodeServer({
          fixture: bench.fixture,
          identity: bench.fixture.server[row.key],
          clientCertificate: false,
          mode: 'echo',
          options: { ciphers: suite.openssl, maxVersion: 'TLSv1.2' },
        });
        const payload = createPayload();
        const { answer, view } = await bench.ours.connect(row, {
          port: server.port,
          serverName: `transfer-${suite.openssl.toLowerCase()}.interop.test`,
          request: payload,
          answerEnd: payloadEnd,
        });
        await server.stop();
        if (view.suite !== suite.iana) return failed(`our side says suite ${String(view.suite)}`);
        return compare(payload, answer, '');
      },
    },
  ];
});

function createPayload(): Buffer {
  // No letters: s_client takes a chunk that begins with certain ones for a command.
  const noise = randomBytes(payloadBytes).map((byte) => byte & 0x3f);
  return Buffer.concat([noise, Buffer.from(payloadEndText)]);
}

function compare(sent: Buffer, received: Buffer, said: string): Outcome {
  const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
  if (digest(sent) === digest(received)) return passed;
  return failed(
    `sent ${String(sent.length)} bytes, got ${String(received.length)} others ${tail(said)}`,
  );
}

const payloadBytes = 3_000_000;
const payloadEndText = '\n--- the payload ends here ---\n';
const payloadEnd = new RegExp(`${payloadEndText}$`);
