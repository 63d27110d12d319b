import { expect } from 'chai';
import { MessageDecoder } from '../../src/cli/demo/message-decoder.ts';

function record(type: number, body: readonly number[]): number[] {
  return [type, 3, 3, body.length >> 8, body.length & 255, ...body];
}

function message(type: number, length: number): number[] {
  return [type, 0, length >> 8, length & 255, ...new Array<number>(length).fill(7)];
}

const cases = [
  { name: 'one message', bytes: record(22, message(1, 40)), names: ['ClientHello'] },
  {
    name: 'a flight in one record',
    bytes: record(22, [
      ...message(2, 70),
      ...message(11, 300),
      ...message(12, 9),
      ...message(14, 0),
    ]),
    names: ['ServerHello', 'Certificate', 'ServerKeyExchange', 'ServerHelloDone'],
  },
  {
    name: 'a message over two records',
    bytes: [...record(22, message(11, 90).slice(0, 3)), ...record(22, message(11, 90).slice(3))],
    names: ['Certificate'],
  },
  {
    name: 'what follows ChangeCipherSpec by record type only',
    bytes: [
      ...record(22, message(16, 33)),
      ...record(20, [1]),
      ...record(22, [0xaa, 0xbb, 0xcc]),
      ...record(23, [1, 2, 3]),
      ...record(21, [9, 9, 9]),
    ],
    names: [
      'ClientKeyExchange',
      'ChangeCipherSpec',
      'Finished (encrypted)',
      'application data',
      'alert (encrypted)',
    ],
  },
  { name: 'a plain alert', bytes: record(21, [2, 48]), names: ['alert unknown_ca'] },
  {
    name: 'an empty record',
    bytes: [...record(23, []), ...record(20, [1])],
    names: ['application data', 'ChangeCipherSpec'],
  },
  { name: 'what it does not know', bytes: record(99, [1]), names: ['record of unknown type 99'] },
];

describe('messages named by the tap (RFC 5246 §6.2, §7.4)', () => {
  for (const { name, bytes, names } of cases) {
    it(`names ${name}, whole and one byte at a time`, () => {
      const whole: string[] = [];
      new MessageDecoder((seen) => whole.push(seen)).push(Uint8Array.from(bytes));
      expect(whole).to.deep.equal(names);

      const dribbled: string[] = [];
      const decoder = new MessageDecoder((seen) => dribbled.push(seen));
      for (const byte of bytes) decoder.push(Uint8Array.of(byte));
      expect(dribbled).to.deep.equal(names);
    });
  }
});
