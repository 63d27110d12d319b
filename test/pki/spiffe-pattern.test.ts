import { expect } from 'chai';
import { isMeant, requirePeerPattern } from '../../src/offload/peer-pattern.ts';
import { matchesSpiffePattern, parseSpiffePattern } from '../../src/pki/spiffe-pattern.ts';

/** A sidecar and an application judge by code of their own: they must not differ. */
describe('patterns of SPIFFE IDs', () => {
  const cases: readonly { pattern: string; id: string; meant: boolean }[] = [
    { pattern: 'spiffe://d.test/manager/1', id: 'spiffe://d.test/manager/1', meant: true },
    { pattern: 'spiffe://d.test/manager/1', id: 'spiffe://d.test/manager/10', meant: false },
    { pattern: 'spiffe://d.test/manager/*', id: 'spiffe://d.test/manager/1', meant: true },
    { pattern: 'spiffe://d.test/manager/*', id: 'spiffe://d.test/agent/1', meant: false },
    { pattern: 'spiffe://d.test/manager/*', id: 'spiffe://d.test/manager/1/2', meant: false },
    { pattern: 'spiffe://d.test/manager/*', id: 'spiffe://d.test/manager', meant: false },
    { pattern: 'spiffe://d.test/manager/*', id: 'spiffe://e.test/manager/1', meant: false },
    { pattern: 'spiffe://*/manager/*', id: 'spiffe://d.test/manager/1', meant: true },
    { pattern: 'spiffe://*/manager/*', id: 'spiffe://e.test/manager/2', meant: true },
    { pattern: 'spiffe://*/manager/*', id: 'spiffe://d.test/agent/1', meant: false },
    { pattern: 'spiffe://*/manager/*', id: 'spiffe://d.test/x/manager/1', meant: false },
    { pattern: 'spiffe://*/manager/*', id: 'spiffe://d.test/manager/1/2', meant: false },
    { pattern: 'spiffe://*/manager/*', id: 'spiffe://manager/1', meant: false },
  ];
  for (const { pattern, id, meant } of cases) {
    it(`${pattern} ${meant ? 'means' : 'does not mean'} ${id}`, () => {
      expect(matchesSpiffePattern(parseSpiffePattern(pattern)!, id)).to.equal(meant);
      expect(isMeant(id, [requirePeerPattern(pattern)])).to.equal(meant);
    });
  }

  const refused = [
    'spiffe://d.test/*',
    'spiffe://*/*',
    'spiffe://*',
    'spiffe://*/manager/1',
    'spiffe://*.test/manager/*',
    'spiffe://d.test/*/1',
    'spiffe://d.test/*/*',
    'spiffe://*/*/*',
    'spiffe://d.test/man*/*',
    'https://*/manager/*',
  ];
  for (const text of refused) {
    it(`${text} is none`, () => {
      expect(parseSpiffePattern(text)).to.equal(undefined);
    });
  }
});
