import type { ConnectionReport } from '../connection-report.ts';
import type { RequestHead } from './request-head.ts';

/**
 * The answer to a request: head and body in one buffer, so that it can be one write and, being
 * small, one record. `/status.json` gives the facts to programs, every other path to people.
 */
export function statusResponse(head: RequestHead, report: ConnectionReport): Buffer {
  const asJson = head.target.split('?', 1)[0] === '/status.json';
  const body = asJson ? `${JSON.stringify(report, null, 2)}\n` : statusPage(report);
  const type = asJson ? 'application/json' : 'text/html; charset=utf-8';
  return response(200, type, body, head.method === 'HEAD');
}

/** The answer to what is no request we take. */
export function errorResponse(status: 400 | 431): Buffer {
  return response(status, 'text/plain; charset=utf-8', `${reasons[status]}\n`, false);
}

function response(status: 200 | 400 | 431, type: string, body: string, headOnly: boolean): Buffer {
  const bytes = Buffer.from(body);
  const head = [
    `HTTP/1.1 ${String(status)} ${reasons[status]}`,
    `Content-Type: ${type}`,
    `Content-Length: ${String(bytes.length)}`,
    'Cache-Control: no-store',
    'X-Content-Type-Options: nosniff',
    'Connection: close',
    '',
    '',
  ].join('\r\n');
  return Buffer.concat(headOnly ? [Buffer.from(head)] : [Buffer.from(head), bytes]);
}

function statusPage(report: ConnectionReport): string {
  const rows: readonly (readonly [string, string])[] = [
    ['Protocol', report.version],
    ['Cipher suite', report.suite],
    ['Key exchange group', report.group ?? 'none: resumed session'],
    ['Application protocol', report.alpn ?? 'none'],
    ['Server name asked for', report.serverName ?? 'none'],
    ['Session', report.resumed ? 'resumed' : 'full handshake'],
    ['Server identity', report.localIdentity ?? 'none'],
    ['Client identity', report.peerIdentity ?? 'none shown'],
    ...report.chain.map(
      (certificate, depth) =>
        [
          `Client certificate ${String(depth)}`,
          `${certificate.subject || '(empty subject)'}, issued by ${certificate.issuer}, SHA-256 ${certificate.fingerprint256}`,
        ] as const,
    ),
    ['Handshake', report.handshakeId ?? 'unknown'],
  ];
  const cells = rows.map(
    ([name, value]) => `<tr><th scope="row">${escapeHtml(name)}</th><td>${escapeHtml(value)}</td>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<link rel="icon" href="data:,">
<title>sidekey serve</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 3rem auto; padding: 0 1rem }
th { text-align: left; padding-right: 2rem; font-weight: 600; white-space: nowrap }
td { font-family: ui-monospace, monospace; overflow-wrap: anywhere }
th, td { vertical-align: top; padding-top: .25rem }
</style>
</head>
<body>
<h1>It works</h1>
<p>This connection's handshake was made by a sidecar. This process holds no private key.</p>
<table>
${cells.join('</tr>\n')}</tr>
</table>
</body>
</html>
`;
}

/** Names come from certificates, that is from strangers. */
function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${String(character.charCodeAt(0))};`);
}

const reasons = { 200: 'OK', 400: 'Bad Request', 431: 'Request Header Fields Too Large' } as const;
