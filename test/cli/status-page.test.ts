import { expect } from 'chai';
import type { ConnectionReport } from '../../src/cli/connection-report.ts';
import { errorResponse, statusResponse } from '../../src/cli/serve/status-page.ts';

const report: ConnectionReport = {
  version: 'TLSv1.2',
  suite: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
  group: 'x25519',
  alpn: 'http/1.1',
  resumed: false,
  peerIdentity: 'spiffe://example.org/service/1',
  handshakeId: 'h-1',
  chain: [
    {
      subject: 'CN=<script>alert(1)</script>',
      issuer: 'CN=Issuer & Sons',
      dnsNames: [],
      notBefore: '2029-01-01T00:00:00.000Z',
      fingerprint256: 'ab'.repeat(32),
      notAfter: '2030-01-01T00:00:00.000Z',
    },
  ],
};

function parts(response: Buffer): { head: string; body: string } {
  const [head = '', ...rest] = response.toString().split('\r\n\r\n');
  return { head, body: rest.join('\r\n\r\n') };
}

describe('status page of serve --www (RFC 9112)', () => {
  it('is a whole response that says how long it is and that the connection closes', () => {
    const { head, body } = parts(statusResponse({ method: 'GET', target: '/' }, report));
    expect(head).to.match(/^HTTP\/1\.1 200 OK\r\n/);
    expect(head).to.contain(`Content-Length: ${String(Buffer.byteLength(body))}`);
    expect(head).to.contain('Connection: close');
    for (const fact of ['TLSv1.2', report.suite, 'x25519', 'http/1.1', report.peerIdentity!]) {
      expect(body).to.contain(fact);
    }
  });

  it('escapes what a stranger wrote into a certificate', () => {
    const { body } = parts(statusResponse({ method: 'GET', target: '/' }, report));
    expect(body).not.to.contain('<script>');
    expect(body).to.contain('&#60;script&#62;');
  });

  it('gives the same facts as JSON', () => {
    const { head, body } = parts(
      statusResponse({ method: 'GET', target: '/status.json?x' }, report),
    );
    expect(head).to.contain('application/json');
    expect(JSON.parse(body)).to.deep.equal(report);
  });

  it('answers HEAD with the head of GET alone', () => {
    const get = parts(statusResponse({ method: 'GET', target: '/' }, report));
    const head = parts(statusResponse({ method: 'HEAD', target: '/' }, report));
    expect(head).to.deep.equal({ head: get.head, body: '' });
  });

  it('answers what it refuses with a status of its own', () => {
    expect(parts(errorResponse(400)).head).to.match(/^HTTP\/1\.1 400 /);
    expect(parts(errorResponse(431)).head).to.match(/^HTTP\/1\.1 431 /);
  });
});
