import { expect } from 'chai';
import { offeredVersion, VersionAttempts } from '../../src/sidecar/index.ts';

function hello(major: number, minor: number): Uint8Array {
  return Uint8Array.of(22, 3, 1, 0, 100, 1, 0, 0, 96, major, minor, 0);
}

describe('offeredVersion', () => {
  for (const [name, bytes, version] of [
    ['SSLv3', hello(3, 0), 'SSLv3'],
    ['TLS 1.0', hello(3, 1), 'TLSv1.0'],
    ['TLS 1.1', hello(3, 2), 'TLSv1.1'],
    ['TLS 1.2', hello(3, 3), undefined],
    ['a version there is not', hello(2, 0), undefined],
    ['SSLv2', Uint8Array.of(0x80, 0x2e, 1, 0, 2, 0, 0), 'SSLv2'],
    ['TLS 1.0 in a hello of SSLv2', Uint8Array.of(0x80, 0x2e, 1, 3, 1, 0, 0), 'TLSv1.0'],
    ['TLS 1.2 in a hello of SSLv2', Uint8Array.of(0x80, 0x2e, 1, 3, 3, 0, 0), undefined],
    ['a hello cut short', hello(3, 1).subarray(0, 10), undefined],
    ['another message', Uint8Array.of(22, 3, 1, 0, 4, 2, 0, 0, 0, 3, 1), undefined],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n'), undefined],
    ['nothing', new Uint8Array(), undefined],
  ] as const) {
    it(`reads ${name} as ${version ?? 'nothing old'}`, () => {
      expect(offeredVersion(bytes)).to.equal(version);
    });
  }
});

describe('VersionAttempts', () => {
  it('counts by peer and version', () => {
    const attempts = new VersionAttempts();
    attempts.add('a', 'TLSv1.0');
    attempts.add('b', 'TLSv1.0');
    attempts.add('a', 'TLSv1.0');
    attempts.add('a', 'SSLv3');
    expect(attempts.list()).to.have.deep.members([
      { peer: 'a', offered: 'TLSv1.0', count: 2 },
      { peer: 'b', offered: 'TLSv1.0', count: 1 },
      { peer: 'a', offered: 'SSLv3', count: 1 },
    ]);
  });

  it('forgets whoever was seen longest ago', () => {
    const attempts = new VersionAttempts(2);
    for (const peer of ['a', 'b', 'a', 'c']) attempts.add(peer, 'TLSv1.1');
    expect(attempts.list().map(({ peer }) => peer)).to.deep.equal(['a', 'c']);
  });
});
