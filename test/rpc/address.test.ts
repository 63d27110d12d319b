import { expect } from 'chai';
import { formatAddress, isLoopback, parseListenAddress } from '../../src/rpc/address.ts';

describe('parseListenAddress', () => {
  const good = [
    { text: 'unix:s.sock', address: { kind: 'unix', path: 's.sock' }, local: true },
    { text: 'unix:/run/s.sock', address: { kind: 'unix', path: '/run/s.sock' }, local: true },
    { text: 'unix:///run/s.sock', address: { kind: 'unix', path: '/run/s.sock' }, local: true },
    { text: '127.0.0.1:0', address: { kind: 'tcp', host: '127.0.0.1', port: 0 }, local: true },
    { text: 'localhost:80', address: { kind: 'tcp', host: '127.0.0.1', port: 80 }, local: true },
    { text: '[::1]:80', address: { kind: 'tcp', host: '::1', port: 80 }, local: true },
    { text: '0.0.0.0:80', address: { kind: 'tcp', host: '0.0.0.0', port: 80 }, local: false },
    { text: '[::]:80', address: { kind: 'tcp', host: '::', port: 80 }, local: false },
  ];
  for (const { text, address, local } of good) {
    it(`reads ${text}`, () => {
      const parsed = parseListenAddress(text);
      expect(parsed).to.deep.equal(address);
      expect(isLoopback(parsed)).to.equal(local);
      expect(parseListenAddress(formatAddress(parsed))).to.deep.equal(parsed);
    });
  }

  for (const text of [
    '',
    'unix:',
    's.sock',
    'example.org:80',
    '127.0.0.1',
    '1.2.3.4:65536',
    '::1:80',
    '[1:80',
    '1.2.3.4:',
  ]) {
    it(`refuses "${text}"`, () => {
      expect(() => parseListenAddress(text)).to.throw(RangeError);
    });
  }
});
