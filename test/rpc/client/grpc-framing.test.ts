import { expect } from 'chai';
import { frameMessage, MessageReader } from '../../../src/rpc/client/grpc-framing.ts';

describe('MessageReader', () => {
  const messages = [Buffer.from('first'), Buffer.alloc(0), Buffer.alloc(70_000, 'x')];
  const wire = Buffer.concat(messages.map((message) => frameMessage(message)));

  for (const step of [1, 3, 5, 6, 16_384, wire.length]) {
    it(`finds the messages in pieces of ${String(step)}`, () => {
      const reader = new MessageReader();
      const found: string[] = [];
      for (let offset = 0; offset < wire.length; offset += step) {
        const piece = Buffer.from(wire.subarray(offset, offset + step));
        for (const message of reader.push(piece)) {
          found.push(Buffer.from(message).toString());
          message.fill(0);
        }
      }
      expect(found).to.deep.equal(messages.map((message) => message.toString()));
    });
  }

  it('leaves no copy of a message that came in pieces', () => {
    const reader = new MessageReader();
    const framed = frameMessage(Buffer.from('secret'));
    const [head, tail] = [Buffer.from(framed.subarray(0, 8)), Buffer.from(framed.subarray(8))];
    reader.push(head);
    expect(reader.push(tail)).to.have.length(1);
    expect(head.every((byte) => byte === 0)).to.equal(true);
    expect(tail.every((byte) => byte === 0)).to.equal(true);
  });

  it('refuses a compressed message', () => {
    expect(() => new MessageReader().push(Buffer.from([1, 0, 0, 0, 0]))).to.throw('compressed');
  });

  it('refuses a message that is too long, by its prefix', () => {
    expect(() => new MessageReader().push(Buffer.from([0, 0, 0x10, 0, 1]))).to.throw('1048577');
  });
});
