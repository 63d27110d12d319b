import { expect } from 'chai';
import {
  encodeServerEcdhParams,
  encodeServerKeyExchange,
  parseServerKeyExchange,
} from '../../../src/tls/messages/server-key-exchange.ts';
import { bytesOf, describeCodec } from '../../support/codec-suite.ts';

const point = bytesOf('aa'.repeat(32));

describe('ServerKeyExchange (RFC 8422 §5.4)', () => {
  describeCodec({
    parse: parseServerKeyExchange,
    encode: encodeServerKeyExchange,
    examples: [
      {
        name: 'a signed X25519 share',
        bytes: bytesOf('03 001d 20', point, '0807 0003 010203'),
        value: {
          params: bytesOf('03 001d 20', point),
          group: 29,
          point,
          scheme: 0x0807,
          signature: bytesOf('010203'),
        },
      },
      {
        name: 'an unknown group and scheme',
        bytes: bytesOf('03 fafa 01 00 fafa 0000'),
        value: {
          params: bytesOf('03 fafa 01 00'),
          group: 0xfafa,
          point: bytesOf('00'),
          scheme: 0xfafa,
          signature: bytesOf(),
        },
      },
    ],
    malformed: [
      {
        name: 'explicit_prime(1)',
        bytes: bytesOf('01 001d 01 00 0807 0000'),
        alert: 'decode_error',
      },
      { name: 'an empty point', bytes: bytesOf('03 001d 00 0807 0000'), alert: 'decode_error' },
      {
        name: 'a signature longer than the body',
        bytes: bytesOf('03 001d 01 00 0807 0002 00'),
        alert: 'decode_error',
      },
    ],
  });

  it('writes the params that are signed as they go on the wire', () => {
    expect(encodeServerEcdhParams(23, bytesOf('0401'))).to.deep.equal(
      Buffer.from(bytesOf('03 0017 02 0401')),
    );
  });
});
