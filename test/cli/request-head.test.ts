import { expect } from 'chai';
import { maxRequestHeadBytes, RequestHeadReader } from '../../src/cli/serve/request-head.ts';

describe('request head of serve --www (RFC 9112 §2.2, §3)', () => {
  const complete = [
    { name: 'CR LF lines', text: 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', target: '/' },
    { name: 'LF lines, as typed', text: 'GET /x HTTP/1.0\nHost: a\n\n', target: '/x' },
    { name: 'no header', text: 'GET /y HTTP/1.1\r\n\r\n', target: '/y' },
    { name: 'no version, as typed', text: 'GET /\n\n', target: '/' },
    { name: 'a body behind it', text: 'POST /p HTTP/1.1\r\nA: b\r\n\r\nbody', target: '/p' },
  ];
  for (const { name, text, target } of complete) {
    it(`is complete with ${name}, in one piece and byte by byte`, () => {
      const bytes = Buffer.from(text);
      const whole = new RequestHeadReader().push(bytes);
      expect(whole.state).to.equal('complete');
      if (whole.state === 'complete') expect(whole.head.target).to.equal(target);

      const reader = new RequestHeadReader();
      const end = text.search(/\r?\n\r?\n/) + (text.includes('\r\n\r\n') ? 4 : 2);
      for (let at = 0; at < end - 1; at++) {
        expect(reader.push(bytes.subarray(at, at + 1)).state, `byte ${String(at)}`).to.equal(
          'incomplete',
        );
      }
      expect(reader.push(bytes.subarray(end - 1, end)).state).to.equal('complete');
    });
  }

  for (const text of [
    '\r\n\r\n',
    'GET\r\n\r\n',
    'GET / HTTP/2\r\n\r\n',
    'a b c d\n\n',
    '\u0016\u0003\n\n',
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      expect(new RequestHeadReader().push(Buffer.from(text))).to.deep.equal({
        state: 'refused',
        status: 400,
      });
    });
  }

  it('refuses a head that does not end within the limit, and keeps no more than that', () => {
    const reader = new RequestHeadReader();
    const line = Buffer.from('GET / HTTP/1.1\r\n');
    expect(reader.push(line).state).to.equal('incomplete');
    const filler = Buffer.alloc(maxRequestHeadBytes - line.length - 1, 'a');
    expect(reader.push(filler).state).to.equal('incomplete');
    expect(reader.push(Buffer.from('a'))).to.deep.equal({ state: 'refused', status: 431 });
  });
});
