import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { CrlPublisher } from '../../../src/ca/revocation/crl-publisher.ts';
import { OcspResponder } from '../../../src/ca/revocation/ocsp-responder.ts';
import { type RevokeItem, revokeOperation } from '../../../src/ca/revocation/revoke-operation.ts';
import { startAuthorityHttp } from '../../../src/ca/http/http-server.ts';
import { paths } from '../../../src/ca/http/urls.ts';
import { TrustFeed } from '../../../src/ca/trust/trust-feed.ts';
import { parseCrl } from '../../../src/pki/crl.ts';
import type { Certificate } from '../../../src/pki/certificate.ts';
import { dayMs, hourMs } from '../support/rows.ts';
import { forEachVacantStore } from '../support/stores.ts';
import { openSsl, type OpenSsl } from '../../support/openssl.ts';
import { type ManualTimers, manualTimers } from './manual-timers.ts';
import { openTrustAuthority, type TrustAuthority } from './trust-authority.ts';

describe('CRLs and OCSP over HTTP, judged by OpenSSL', () => {
  forEachVacantStore((kind, place) => {
    let authority: TrustAuthority;
    let feed: TrustFeed;
    let crls: CrlPublisher;
    let responder: OcspResponder;
    let timers: ManualTimers;
    let url: string;
    let openssl: OpenSsl;
    let stops: (() => Promise<unknown>)[];

    beforeEach(async () => {
      authority = await openTrustAuthority(place());
      const { context } = authority;
      timers = manualTimers();
      stops = [];
      feed = new TrustFeed(context);
      await feed.start();
      crls = new CrlPublisher({ context, feed, publicUrl: 'http://ca.example.org/', timers });
      await crls.start();
      responder = new OcspResponder({ context, feed });
      const server = await startAuthorityHttp({
        address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
        crls,
        generations: () => context.generations.all(),
        bundle: () => feed.bundle,
        respond: (request) => responder.respond(request),
        now: context.now,
        log: context.log,
      });
      const { address } = server;
      if (address.kind !== 'tcp') throw new Error('not tcp');
      url = `http://127.0.0.1:${String(address.port)}`;
      stops.push(async () => {
        const closed = server.close();
        server.destroy();
        await closed;
      });
      openssl = openSsl();
    });
    afterEach(async () => {
      for (const stop of stops) await stop();
      await crls.close();
      responder.close();
      feed.close();
      openssl.close();
      await authority.close();
    });

    const issuer = () => authority.context.generations.signing('issuing');
    const root = () => authority.context.generations.signing('root');
    const revoke = async (subject: RevokeItem['subject']) => {
      await authority.context.writer.submit(revokeOperation, {
        subject,
        order: { reason: 'keyCompromise', by: 'owner' },
      });
      await feed.advance();
    };
    const rowsOf = () =>
      authority.store.queries
        .selectFrom('crl')
        .select(['number', 'base_number', 'feed_seq'])
        .where('issuer', '=', issuer().id)
        .orderBy('number')
        .execute();
    const get = async (path: string, headers: Record<string, string> = {}) =>
      await fetch(url + path, { headers });
    const download = async (path: string): Promise<Uint8Array> => {
      const response = await get(path);
      expect(response.status, path).to.equal(200);
      return new Uint8Array(await response.arrayBuffer());
    };

    /** What OpenSSL makes of a leaf with the CRLs served now. */
    async function verify(leaf: Certificate, ...flags: readonly string[]) {
      const files = await Promise.all(
        [paths.crl(issuer().id), paths.deltaCrl(issuer().id), paths.crl(root().id)].map(download),
      );
      return openssl.run(
        'verify',
        '-CAfile',
        openssl.file('roots.pem', await download(paths.roots)),
        '-untrusted',
        openssl.pem('issuing.pem', 'CERTIFICATE', await download(paths.certificate(issuer().id))),
        '-CRLfile',
        openssl.pem('crls.pem', 'X509 CRL', ...files),
        ...flags,
        openssl.pem('leaf.pem', 'CERTIFICATE', leaf.der),
      );
    }

    const ask = async (leaf: Certificate, ...flags: readonly string[]) =>
      await openssl.runAside(
        'ocsp',
        '-issuer',
        openssl.pem('issuing.pem', 'CERTIFICATE', issuer().certificate.der),
        '-CAfile',
        openssl.pem('roots.pem', 'CERTIFICATE', root().certificate.der),
        // How to name it comes before what to name.
        ...flags,
        '-cert',
        openssl.pem('leaf.pem', 'CERTIFICATE', leaf.der),
        '-url',
        `${url}${paths.ocsp}`,
      );

    it('lists what is revoked in complete CRLs and deltas', async () => {
      const spared = await authority.enrolReal();
      const early = await authority.enrolReal();
      const late = await authority.enrolReal();
      await revoke({ kind: 'certificate', serial: early.rows.certificate.serial });
      authority.clock.ms += 13 * hourMs;
      await crls.publish();
      await revoke({ kind: 'agent', id: late.rows.agent.id });
      authority.clock.ms += 60_000;
      await crls.publish();
      const at = ['-attime', String(Math.floor(authority.clock.ms / 1000))];
      const flags = ['-crl_check_all', '-extended_crl', '-use_deltas', ...at];
      const { status, output } = await verify(spared.certificate, ...flags);
      if (status !== 0) throw new Error(output);
      const inComplete = await verify(early.certificate, '-crl_check', ...at);
      expect(inComplete.output).to.include('certificate revoked');
      // OpenSSL takes a delta for a complete one if not told of deltas: that it is in no complete one
      // has to be seen another way.
      expect(parseCrl(crls.complete(issuer().id)!.der).revokedCount).to.equal(1);
      expect((await verify(late.certificate, ...flags)).output).to.include('certificate revoked');
      expect(await authority.violations()).to.deep.equal([]);
    });

    it('numbers complete CRLs and deltas in one sequence without gaps', async () => {
      expect(await rowsOf()).to.have.length(2);
      const { hosts } = await authority.enrol(3);
      for (const { certificate } of hosts) {
        await revoke({ kind: 'certificate', serial: certificate.serial });
        // Not yet: there was one a moment ago.
        await crls.publish();
        authority.clock.ms += 11_000;
        await crls.publish();
        await crls.publish();
      }
      const rows = await rowsOf();
      expect(rows.map(({ number }) => number)).to.deep.equal([1, 2, 3, 4, 5]);
      expect(rows.map(({ base_number: base }) => base)).to.deep.equal([null, 1, 1, 1, 1]);
      expect(rows.at(-1)?.feed_seq).to.equal(feed.head);
      const text = openssl.run(
        'crl',
        '-inform',
        'DER',
        '-noout',
        '-text',
        '-in',
        openssl.file('delta.crl', crls.delta(issuer().id)!.der),
      ).output;
      expect(text).to.match(/Delta CRL Indicator: critical\s+1\b/);
      expect(text.match(/Serial Number/g)).to.have.length(3);
      expect(text.match(/Key Compromise/g)).to.have.length(3);
      expect(await authority.violations()).to.deep.equal([]);
    });

    it('bases deltas on the complete CRL before the last, which many still have', async () => {
      const { hosts } = await authority.enrol(1);
      await revoke({ kind: 'certificate', serial: hosts[0]!.certificate.serial });
      authority.clock.ms += 13 * hourMs;
      await crls.publish();
      const rows = await rowsOf();
      expect(rows.map(({ base_number: base }) => base)).to.deep.equal([null, 1, null, 1]);
      expect(parseCrl(crls.complete(issuer().id)!.der).revokedCount).to.equal(1);
      authority.clock.ms += 13 * hourMs;
      await crls.publish();
      authority.clock.ms += 13 * hourMs;
      await crls.publish();
      const later = await rowsOf();
      // Those nobody can use any more are gone.
      expect(later[0]?.number).to.be.greaterThan(1);
      expect(later.at(-1)?.base_number).to.equal(
        later.filter(({ base_number: base }) => base === null).at(-2)?.number,
      );
    });

    it('keeps a revoked certificate until a complete CRL after its end, then lets it go', async () => {
      const { hosts } = await authority.enrol(2);
      await revoke({ kind: 'certificate', serial: hosts[0]!.certificate.serial });
      const counts: number[] = [];
      for (let half = 0; half < 6; half += 1) {
        authority.clock.ms += 13 * hourMs;
        await crls.publish();
        counts.push(parseCrl(crls.complete(issuer().id)!.der).revokedCount);
      }
      // It ends after a day: the one made two hours after that still has it.
      expect(counts).to.deep.equal([1, 1, 0, 0, 0, 0]);
      // Revoked after its end, it is on the next one.
      await revoke({ kind: 'certificate', serial: hosts[1]!.certificate.serial });
      authority.clock.ms += 13 * hourMs;
      await crls.publish();
      expect(parseCrl(crls.complete(issuer().id)!.der).revokedCount).to.equal(1);
    });

    it('is woken by revocations, after the least interval', async () => {
      const { hosts } = await authority.enrol(1);
      const before = crls.delta(issuer().id)!.number;
      await revoke({ kind: 'certificate', serial: hosts[0]!.certificate.serial });
      authority.clock.ms += 10_000;
      timers.pass(10_000);
      await timers.until(() => crls.delta(issuer().id)!.number > before);
    });

    it('makes one last CRL for a CA that is retired', async () => {
      const { context } = authority;
      await authority.store.transact(async ({ queries }) => {
        await queries
          .updateTable('ca_generation')
          .set({ state: 'retired', state_version: 2 })
          .where('id', '=', issuer().id)
          .execute();
      });
      const { id, certificate } = issuer();
      await context.generations.refresh();
      await crls.publish();
      expect(crls.complete(id)!.nextUpdate).to.equal(certificate.notAfter.getTime());
      const { number } = crls.complete(id)!;
      authority.clock.ms += 30 * dayMs;
      await crls.publish();
      expect(crls.complete(id)!.number).to.equal(number);
    });

    it('is published by one replica and served by all', async () => {
      const context = await authority.replica();
      const other = new CrlPublisher({ context, feed, timers });
      stops.push(() => other.close());
      await other.start();
      expect(other.complete(issuer().id)).to.deep.equal(crls.complete(issuer().id));
      authority.clock.ms += 13 * hourMs;
      await Promise.all([crls.publish(), other.publish()]);
      await Promise.all([crls.publish(), other.publish()]);
      const rows = await rowsOf();
      expect(rows.map(({ number }) => number)).to.deep.equal([1, 2, 3, 4]);
      expect(other.delta(issuer().id)?.number).to.equal(4);
      expect(await authority.violations()).to.deep.equal([]);
    });

    for (const hash of ['-sha1', '-sha256']) {
      it(`answers what OpenSSL asks, ${hash}`, async () => {
        const good = await authority.enrolReal();
        const bad = await authority.enrolReal();
        await revoke({ kind: 'agent', id: bad.rows.agent.id });
        const first = await ask(good.certificate, hash);
        expect(first.output).to.include('Response verify OK').and.to.include(': good');
        expect(first.output).not.to.include('WARNING: no nonce');
        const second = await ask(bad.certificate, hash);
        expect(second.output).to.include('Response verify OK').and.to.include(': revoked');
        expect(second.output).to.include('Reason: keyCompromise');
        expect(await authority.violations()).to.deep.equal([]);
      });
    }

    it('knows nothing of a certificate that the store has not', async () => {
      const { certificate, rows } = await authority.enrolReal();
      const { certificate: known } = await authority.enrolReal();
      // Another serial number, of the same issuer: nothing else is asked for.
      const serial = Buffer.from(rows.certificate.serial);
      serial[15] = (serial[15] ?? 0) ^ 1;
      const flags = ['-serial', `0x${serial.toString('hex')}`];
      const { output } = await openssl.runAside(
        'ocsp',
        '-issuer',
        openssl.pem('issuing.pem', 'CERTIFICATE', issuer().certificate.der),
        '-CAfile',
        openssl.pem('roots.pem', 'CERTIFICATE', root().certificate.der),
        ...flags,
        '-url',
        `${url}${paths.ocsp}`,
      );
      expect(output).to.include('Response verify OK').and.to.include(': unknown');
      expect((await ask(certificate)).output).to.include(': good');
      expect((await ask(known)).output).to.include(': good');
    });

    it('signs for a CA that has stopped signing with its own key', async () => {
      const { certificate } = await authority.enrolReal();
      const { id } = issuer();
      const files = {
        issuing: openssl.pem('old.pem', 'CERTIFICATE', issuer().certificate.der),
        roots: openssl.pem('roots.pem', 'CERTIFICATE', root().certificate.der),
      };
      await authority.store.transact(async ({ queries }) => {
        await queries
          .updateTable('ca_generation')
          .set({ state: 'draining', state_version: 2 })
          .where('id', '=', id)
          .execute();
      });
      await authority.context.generations.refresh();
      const { output } = await openssl.runAside(
        'ocsp',
        '-issuer',
        files.issuing,
        '-CAfile',
        files.roots,
        '-cert',
        openssl.pem('leaf.pem', 'CERTIFICATE', certificate.der),
        '-url',
        `${url}${paths.ocsp}`,
      );
      expect(output).to.include('Response verify OK').and.to.include(': good');
    });

    it('answers requests in a path, to be kept for a while', async () => {
      const { certificate, rows } = await authority.enrolReal();
      const out = openssl.file('request.der', '');
      await ask(certificate, '-no_nonce', '-reqout', out);
      const encoded = encodeURIComponent(readFileSync(out).toString('base64'));
      const response = await get(`${paths.ocsp}/${encoded}`);
      expect(response.headers.get('content-type')).to.equal('application/ocsp-response');
      expect(response.headers.get('cache-control')).to.match(/max-age=300/);
      const first = Buffer.from(await response.arrayBuffer());
      const again = await get(`${paths.ocsp}/${encoded}`);
      expect(Buffer.from(await again.arrayBuffer()).equals(first)).to.equal(true);
      // Kept ones do not hide a revocation.
      await revoke({ kind: 'certificate', serial: rows.certificate.serial });
      const after = openssl.file('after.der', await download(`${paths.ocsp}/${encoded}`));
      const { output } = openssl.run('ocsp', '-respin', after, '-resp_text', '-noverify');
      expect(output).to.include('Cert Status: revoked');
    });

    it('refuses what is not for it', async () => {
      const cases = [
        { path: '/', status: 404 },
        { path: '/crl/', status: 404 },
        { path: `/crl/${'0'.repeat(32)}.crl`, status: 404 },
        { path: `${paths.crl(issuer().id)}/..`, status: 404 },
        { path: '/ocsp/%%%', status: 400 },
        { path: '/ocsp/AA==', status: 200, body: '30030a0101' },
        { path: '/roots.pem', method: 'POST', status: 405 },
        { path: '/roots.pem', method: 'DELETE', status: 405 },
        { path: '/ocsp', method: 'POST', send: Buffer.alloc(9000), status: 413 },
        { path: '/ocsp', method: 'POST', send: Buffer.alloc(10), status: 200, body: '30030a0101' },
      ];
      for (const { path, status, method = 'GET', send, body } of cases) {
        const response = await fetch(url + path, {
          method,
          ...(send === undefined ? {} : { body: send }),
        });
        const received = Buffer.from(await response.arrayBuffer()).toString('hex');
        expect(response.status, `${method} ${path}`).to.equal(status);
        if (body !== undefined) expect(received).to.equal(body);
      }
    });

    it('says how long CRLs can be kept, and whether they are new', async () => {
      const path = paths.crl(issuer().id);
      const response = await get(path);
      expect(response.headers.get('content-type')).to.equal('application/pkix-crl');
      expect(response.headers.get('etag')).to.equal('"1"');
      expect(response.headers.get('cache-control')).to.match(/public, max-age=3600/);
      expect((await get(path, { 'if-none-match': '"1"' })).status).to.equal(304);
      expect((await get(path, { 'if-none-match': '"0"' })).status).to.equal(200);
    });

    if (kind === 'sqlite') {
      it('does not wait for whoever sends nothing', async () => {
        const { context } = authority;
        const server = await startAuthorityHttp({
          address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
          crls,
          generations: () => context.generations.all(),
          bundle: () => feed.bundle,
          respond: (request) => responder.respond(request),
          now: context.now,
          log: context.log,
          limits: { requestMs: 50, idleMs: 50 },
        });
        stops.push(() => server.close());
        const { address } = server;
        if (address.kind !== 'tcp') throw new Error('not tcp');
        const { connect } = await import('node:net');
        const socket = connect(address.port, '127.0.0.1');
        socket.on('error', () => undefined);
        // It may be told why (408); unread, that would hide the end.
        socket.resume();
        socket.write('POST /ocsp HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nabc');
        await new Promise((resolve) => socket.once('close', resolve));
      });
    }
  });
});
