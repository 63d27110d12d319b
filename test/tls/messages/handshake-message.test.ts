import { expect } from 'chai';
import fc from 'fast-check';
import {
  encodeHandshakeMessage,
  HandshakeReassembler,
  type HandshakeMessage,
} from '../../../src/tls/messages/handshake-message.ts';
import { HandshakeType } from '../../../src/tls/registries.ts';
import { alertOf, bytesOf, plain } from '../../support/codec-suite.ts';

function readAll(reassembler: HandshakeReassembler): HandshakeMessage[] {
  const messages: HandshakeMessage[] = [];
  for (let next = reassembler.next(); next; next = reassembler.next()) messages.push(next);
  return messages;
}

describe('encodeHandshakeMessage (RFC 5246 §7.4)', () => {
  it('puts type and 24-bit length before the body', () => {
    const raw = encodeHandshakeMessage(HandshakeType.certificate, new Uint8Array(0x010203));
    expect(plain(raw.subarray(0, 5))).to.equal('0b01020300');
    expect(raw).to.have.length(4 + 0x010203);
  });

  it('refuses a body its length cannot tell', () => {
    const body = new Uint8Array(2 ** 24);
    expect(() => encodeHandshakeMessage(HandshakeType.finished, body)).to.throw(RangeError);
  });
});

describe('HandshakeReassembler (RFC 5246 §6.2.1)', () => {
  it('reads several messages from one fragment', () => {
    const reassembler = new HandshakeReassembler();
    reassembler.push(bytesOf('0e 000000  10 000002 0141  14'));
    expect(plain(readAll(reassembler))).to.deep.equal([
      { type: 14, body: '', raw: '0e000000' },
      { type: 16, body: '0141', raw: '100000020141' },
    ]);
    expect(reassembler.empty).to.equal(false);
  });

  it('is empty between messages only', () => {
    const reassembler = new HandshakeReassembler();
    expect(reassembler.empty).to.equal(true);
    reassembler.push(bytesOf('0e 0000'));
    expect(reassembler.next()).to.equal(undefined);
    expect(reassembler.empty).to.equal(false);
    reassembler.push(bytesOf('00'));
    expect(reassembler.empty).to.equal(false);
    expect(reassembler.next()?.type).to.equal(14);
    expect(reassembler.empty).to.equal(true);
  });

  it('gives the same messages whatever the cut', () => {
    const message = fc.tuple(fc.constantFrom(...Object.values(HandshakeType)), fc.uint8Array());
    const cuts = fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 60 });
    fc.assert(
      fc.property(fc.array(message, { maxLength: 6 }), cuts, (messages, sizes) => {
        const bytes = bytesOf(
          ...messages.map(([type, body]) => encodeHandshakeMessage(type, body)),
        );
        const reassembler = new HandshakeReassembler();
        const got: HandshakeMessage[] = [];
        let offset = 0;
        for (const size of [...sizes, bytes.length]) {
          reassembler.push(bytes.subarray(offset, offset + size));
          offset += size;
          got.push(...readAll(reassembler));
        }
        expect(got.map(({ type, body }) => [type, plain(body)])).to.deep.equal(
          messages.map(([type, body]) => [type, plain(body)]),
        );
        expect(plain(bytesOf(...got.map(({ raw }) => raw)))).to.equal(plain(bytes));
        expect(reassembler.empty).to.equal(true);
      }),
    );
  });

  it('keeps what it gave out, whatever happens to the input or comes later', () => {
    const reassembler = new HandshakeReassembler();
    const fragment = bytesOf('10 000001 41  14 00');
    reassembler.push(fragment);
    const first = reassembler.next();
    fragment.fill(0xee);
    for (let count = 0; count < 100; count++) reassembler.push(bytesOf('00'));
    readAll(reassembler);
    expect(plain(first)).to.deep.equal({ type: 16, body: '41', raw: '1000000141' });
  });

  const limits: readonly { type: number; name: string; limit: number }[] = [
    { type: HandshakeType.client_hello, name: 'ClientHello', limit: 16384 },
    { type: HandshakeType.server_key_exchange, name: 'ServerKeyExchange', limit: 16384 },
    { type: 99, name: 'an unknown type', limit: 16384 },
    { type: HandshakeType.certificate, name: 'Certificate', limit: 65536 },
    { type: HandshakeType.certificate_request, name: 'CertificateRequest', limit: 65536 },
    { type: HandshakeType.certificate_status, name: 'CertificateStatus', limit: 65536 },
    { type: HandshakeType.new_session_ticket, name: 'NewSessionTicket', limit: 65541 },
  ];
  for (const { type, name, limit } of limits) {
    it(`judges the size of ${name} by its header: at most ${String(limit)} bytes`, () => {
      const header = (length: number): Uint8Array =>
        Uint8Array.of(type, length >> 16, (length >> 8) & 0xff, length & 0xff);
      const allowed = new HandshakeReassembler();
      allowed.push(header(limit));
      expect(allowed.next()).to.equal(undefined);
      const refused = new HandshakeReassembler();
      refused.push(header(limit + 1));
      expect(alertOf(() => refused.next())).to.equal('illegal_parameter');
    });
  }
});
