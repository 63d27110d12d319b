import { expect } from 'chai';
import {
  isHostName,
  matchesDnsName,
  matchesIpAddress,
  parseIpAddress,
} from '../../src/pki/host-name.ts';
import { rawCa, rawLeaf, subjectAltNames } from '../support/raw-certificate.ts';

const ca = rawCa();
const named = (dnsNames: readonly string[]) =>
  rawLeaf(ca, { subject: 'common.test', extensions: [subjectAltNames({ dnsNames })] }).certificate;

describe('matchesDnsName (RFC 9525 §6.3)', () => {
  const rows: { presented: string; name: string; matches: boolean }[] = [
    { presented: 'a.test', name: 'a.test', matches: true },
    { presented: 'A.Test', name: 'a.tEST', matches: true },
    { presented: 'a.test', name: 'b.test', matches: false },
    { presented: 'a.test', name: 'x.a.test', matches: false },
    { presented: 'x.a.test', name: 'a.test', matches: false },
    { presented: 'a.test', name: 'common.test', matches: false },
    { presented: 'a.test', name: 'a.test.', matches: false },
    { presented: '*.a.test', name: 'x.a.test', matches: true },
    { presented: '*.A.test', name: 'X.a.test', matches: true },
    { presented: '*.a.test', name: 'a.test', matches: false },
    { presented: '*.a.test', name: 'x.y.a.test', matches: false },
    { presented: '*.a.test', name: '*.a.test', matches: false },
    { presented: '*.test', name: 'a.test', matches: false },
    { presented: 'x*.a.test', name: 'xy.a.test', matches: false },
    { presented: '*x.a.test', name: 'yx.a.test', matches: false },
    { presented: 'x.*.test', name: 'x.a.test', matches: false },
    { presented: '*.*.test', name: 'x.a.test', matches: false },
    { presented: '*', name: 'a', matches: false },
    { presented: 'localhost', name: 'localhost', matches: true },
    { presented: '10.0.0.1', name: '10.0.0.1', matches: false },
    { presented: 'xn--bcher-kva.test', name: 'xn--bcher-kva.test', matches: true },
    { presented: 'xn--bcher-kva.test', name: 'bücher.test', matches: false },
    { presented: '*.xn--bcher-kva.test', name: 'a.xn--bcher-kva.test', matches: true },
  ];
  for (const { presented, name, matches } of rows) {
    it(`${matches ? 'takes' : 'does not take'} ${presented} for ${name}`, () => {
      expect(matchesDnsName(named([presented]), name)).to.equal(matches);
    });
  }

  it('looks at every name', () => {
    expect(matchesDnsName(named(['a.test', '*.b.test']), 'x.b.test')).to.be.true;
  });

  it('finds no name in a certificate without alternative names', () => {
    const bare = rawLeaf(ca, { subject: 'a.test', extensions: [] }).certificate;
    expect(matchesDnsName(bare, 'a.test')).to.be.false;
  });
});

describe('isHostName (RFC 1123 §2.1)', () => {
  const label = 'a'.repeat(63);
  const rows: { text: string; expected: boolean }[] = [
    { text: 'a', expected: true },
    { text: '1.a', expected: true },
    { text: 'a-b.c', expected: true },
    { text: `${label}.${label}.${label}.${'a'.repeat(61)}`, expected: true },
    { text: `${label}.${label}.${label}.${'a'.repeat(62)}`, expected: false },
    { text: `${label}a`, expected: false },
    { text: '', expected: false },
    { text: '.', expected: false },
    { text: '.a', expected: false },
    { text: 'a.', expected: false },
    { text: 'a..b', expected: false },
    { text: '-a', expected: false },
    { text: 'a-', expected: false },
    { text: 'a_b', expected: false },
    { text: 'a b', expected: false },
    { text: 'a\n', expected: false },
    { text: '*.a', expected: false },
    { text: '1.2.3.4', expected: false },
    { text: 'ä', expected: false },
  ];
  for (const { text, expected } of rows) {
    it(`${expected ? 'takes' : 'refuses'} ${JSON.stringify(text.slice(0, 30))} of ${String(text.length)}`, () => {
      expect(isHostName(text)).to.equal(expected);
    });
  }
});

describe('matchesIpAddress (RFC 9525 §6.5)', () => {
  const ipAddresses = [Uint8Array.of(127, 0, 0, 1), Uint8Array.from([...new Uint8Array(15), 1])];
  const leaf = rawLeaf(ca, {
    extensions: [subjectAltNames({ ipAddresses, dnsNames: ['10.0.0.1'] })],
  }).certificate;
  for (const address of ['127.0.0.1', '::1', '0:0:0:0:0:0:0:1', '::0.0.0.1']) {
    it(`takes ${address}`, () => {
      expect(matchesIpAddress(leaf, address)).to.be.true;
    });
  }
  for (const address of ['127.0.0.2', '10.0.0.1', '::', 'localhost', '', '::ffff:127.0.0.1']) {
    it(`does not take ${JSON.stringify(address)}`, () => {
      expect(matchesIpAddress(leaf, address)).to.be.false;
    });
  }
});

describe('parseIpAddress (RFC 4291 §2.2)', () => {
  const good: { text: string; hex: string }[] = [
    { text: '0.0.0.0', hex: '00000000' },
    { text: '255.1.20.3', hex: 'ff011403' },
    { text: '::', hex: '0'.repeat(32) },
    { text: '2001:DB8::8:800:200c:417a', hex: '20010db80000000000080800200c417a' },
    { text: '1:2:3:4:5:6:7::', hex: '00010002000300040005000600070000' },
    { text: '::2:3:4:5:6:7:8', hex: '00000002000300040005000600070008' },
    { text: '1:2:3:4:5:6:1.2.3.4', hex: '00010002000300040005000601020304' },
    { text: '::ffff:1.2.3.4', hex: '00000000000000000000ffff01020304' },
  ];
  for (const { text, hex } of good) {
    it(`reads ${text}`, () => {
      expect(Buffer.from(parseIpAddress(text) ?? []).toString('hex')).to.equal(hex);
    });
  }
  const bad = [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '256.1.1.1',
    '1.2.3.+4',
    '0x1.2.3.4',
    '1.2.3.4 ',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '::1:2:3:4:5:6:7:8',
    'g::',
    '12345::',
    '1.2.3.4::',
    '::1.2.3',
    '::1.2.3.4:5',
    '[::1]',
    'fe80::1%eth0',
    ':1',
    '1:',
    `${'0:'.repeat(30)}1`,
  ];
  for (const text of bad) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      expect(parseIpAddress(text)).to.equal(undefined);
    });
  }
});
