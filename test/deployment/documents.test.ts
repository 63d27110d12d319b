import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { Registry } from 'prom-client';
import { SidecarMetrics } from '../../src/sidecar/metrics.ts';

const read = (path: string): string =>
  readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

describe('doc/threat-model.md', () => {
  const text = read('doc/threat-model.md');
  const proofs = [...text.matchAll(/\[([^\]]+)\]\(\.\.\/(test\/[^)]+)\)/gu)].map(
    ([, title = '', file = '']) => ({ title, file }),
  );

  it('has proofs', () => {
    expect(proofs).to.have.length.above(50);
  });

  for (const { title, file } of proofs) {
    it(`names a test there is: ${title}`, () => {
      const titles = read(file)
        .split('\n')
        .filter((line) => /\b(?:it|describe)\(|\b(?:name|title): |^\s*['"`]/u.test(line));
      expect(titles.some((line) => line.includes(title))).to.equal(true);
    });
  }

  it('has a proof, or says that there is none, in every row', () => {
    const rows = text.split('\n').filter((line) => /^\| (?!Threat|Thing|---)/u.test(line));
    const withProof = rows.filter((row) => row.split(' | ').length === 4);
    expect(withProof).to.have.length.above(30);
    for (const row of withProof) {
      expect(row).to.match(/\]\(\.\.\/test\/|no test yet|docker\/check\.sh|not testable/u);
    }
  });
});

describe('doc/deployment.md', () => {
  const text = read('doc/deployment.md');
  const named = [...text.matchAll(/`(sidekey_[a-z0-9_]+)/gu)].map(([, name = '']) => name);

  it('names metrics', () => {
    expect(named).to.have.length.above(8);
  });

  it('names no metric that does not exist', async () => {
    const none = (): number => 0;
    const metrics = new SidecarMetrics(
      {
        inFlight: none,
        queued: none,
        openStreams: none,
        connections: none,
        clientSessions: none,
        trustGeneration: none,
        notAfter: () => [],
        revocationWatchers: none,
        enrolled: () => [],
      },
      new Registry(),
    );
    const existing = await metrics.text();
    for (const name of named) expect(existing).to.include(`# TYPE ${name} `);
  });

  it('names files there are', () => {
    for (const [, path = ''] of text.matchAll(/\]\(\.\.\/([^)]+)\)/gu)) {
      expect(read(path)).to.not.equal('');
    }
  });
});

describe('doc/certificate-authority.md', () => {
  const text = read('doc/certificate-authority.md');
  const sources = [
    'src/apps/authority/authority-metrics.ts',
    'src/ca/administration/fleet-metrics.ts',
    'src/ca/service/issuance-metrics.ts',
  ].map(read);
  const names = [...text.matchAll(/`(sidekey_authority_[a-z0-9_]+)/gu)].map(
    ([, name = '']) => name,
  );

  it('names metrics', () => {
    expect(names).to.have.length.above(5);
  });

  for (const name of new Set(names)) {
    it(`names a metric there is: ${name}`, () => {
      const short = name.replace('sidekey_authority_', '');
      const declared = [`name: '${name}'`, `gauge('${short}'`, `'${short}',`];
      const found = sources.some((source) => declared.some((part) => source.includes(part)));
      expect(found).to.equal(true);
    });
  }

  it('names headings and pages there are', () => {
    const headingsOf = (markdown: string): readonly string[] =>
      [...markdown.matchAll(/^#+ (.+)$/gmu)].map(([, title = '']) =>
        title
          .toLowerCase()
          .replace(/[^a-z0-9 -]/gu, '')
          .replaceAll(' ', '-'),
      );
    for (const [, page = '', heading = ''] of text.matchAll(/\]\(([^)#]*)#([^)]+)\)/gu)) {
      const target = page === '' ? text : read(new URL(page, 'file:///doc/').pathname.slice(1));
      expect(headingsOf(target), `${page}#${heading}`).to.include(heading);
    }
  });
});
