import { findProgram, run } from '../processes.ts';
import { pagePath } from '../peer.ts';
import type { Peer } from '../peer.ts';
import { ianaSuite } from '../suites.ts';

export const curl: Peer = {
  name: 'curl',
  async probe() {
    if (findProgram('curl') === undefined) return { missing: 'no curl program' };
    return { version: (await run('curl', ['--version'])).text.split(' ')[1] ?? '' };
  },
  noServer: 'curl is a client',
  client: {
    cannot: () => undefined,
    cannotResume: () => 'curl switches session tickets off',
    async fetch(row, target, fixture) {
      const { certificateFile, privateKeyFile } = fixture.client[row.key];
      const port = String(target.port);
      const { stdout, stderr, code } = await run('curl', [
        ...['--silent', '--show-error', '--verbose', '--http1.1', '--cacert', fixture.rootsFile],
        ...['--resolve', `${target.serverName}:${port}:127.0.0.1`],
        ...(row.clientCertificate
          ? ['--tls-max', '1.2', '--cert', certificateFile, '--key', privateKeyFile]
          : []),
        `https://${target.serverName}:${port}${pagePath}`,
      ]);
      if (code !== 0) throw new Error(`curl: ${stderr.slice(-300)}`);
      const summary = /SSL connection using (\S+) \/ (\S+)/.exec(stderr);
      const view = {
        version: summary?.[1] ?? 'none',
        suite: ianaSuite(summary?.[2] ?? 'none'),
        resumed: /SSL re-?using session ID/i.test(stderr),
        peer: /subject: (.*)/.exec(stderr)?.[1] ?? 'none',
      };
      return [{ page: stdout.toString('latin1'), view }];
    },
  },
};
