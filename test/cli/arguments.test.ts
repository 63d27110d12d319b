import { expect } from 'chai';
import { InvalidArgumentError } from 'commander';
import {
  formatEndpoint,
  parseCount,
  parseDuration,
  parseListenEndpoint,
  parseProtocolList,
  parseTargetEndpoint,
} from '../../src/cli/arguments.ts';

describe('arguments of commands', () => {
  const endpoints = [
    { text: 'example.org:443', host: 'example.org', port: 443 },
    { text: '127.0.0.1:1', host: '127.0.0.1', port: 1 },
    { text: '[::1]:65535', host: '::1', port: 65535 },
  ];
  for (const { text, host, port } of endpoints) {
    it(`reads ${text} and writes it the same way`, () => {
      expect(parseTargetEndpoint(text)).to.deep.equal({ host, port });
      expect(formatEndpoint(host, port)).to.equal(text);
    });
  }

  const bad = [
    '',
    'host',
    ':443',
    'host:',
    'host:65536',
    'host:-1',
    '::1:443',
    '[host]:1',
    'a b:1x',
  ];
  for (const text of bad) {
    it(`refuses ${JSON.stringify(text)} as HOST:PORT`, () => {
      expect(() => parseTargetEndpoint(text)).to.throw(InvalidArgumentError);
    });
  }

  it('takes port 0 for listening only', () => {
    expect(parseListenEndpoint('127.0.0.1:0').port).to.equal(0);
    expect(() => parseTargetEndpoint('127.0.0.1:0')).to.throw(InvalidArgumentError, 'range');
  });

  it('reads lists of ALPN names (RFC 7301 §3.1)', () => {
    expect(parseProtocolList('h2, http/1.1')).to.deep.equal(['h2', 'http/1.1']);
    for (const text of ['', 'h2,', ',', 'a'.repeat(256)]) {
      expect(() => parseProtocolList(text), text).to.throw(InvalidArgumentError);
    }
    expect(parseProtocolList('a'.repeat(255))[0]).to.have.length(255);
  });

  it('reads times', () => {
    expect(parseDuration('250ms')).to.equal(250);
    expect(parseDuration('10s')).to.equal(10_000);
    expect(parseDuration('2m')).to.equal(120_000);
    expect(parseDuration('never')).to.equal(undefined);
    for (const text of ['', '10', 's', '-1s', '1h', '1.5s']) {
      expect(() => parseDuration(text), text).to.throw(InvalidArgumentError);
    }
  });

  it('reads counts within their bounds', () => {
    const parse = parseCount(10);
    expect(parse('1')).to.equal(1);
    expect(parse('10')).to.equal(10);
    for (const text of ['0', '11', '1e1', '', '-1', '0x1']) {
      expect(() => parse(text), text).to.throw(InvalidArgumentError);
    }
  });
});
