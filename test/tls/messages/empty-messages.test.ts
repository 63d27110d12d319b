import { encodeHelloRequest, parseHelloRequest } from '../../../src/tls/messages/hello-request.ts';
import {
  encodeServerHelloDone,
  parseServerHelloDone,
} from '../../../src/tls/messages/server-hello-done.ts';
import { bytesOf, describeCodec } from '../../support/codec-suite.ts';

describe('HelloRequest (RFC 5246 §7.4.1.1)', () => {
  describeCodec({
    parse: parseHelloRequest,
    encode: encodeHelloRequest,
    examples: [{ name: 'the empty body', bytes: bytesOf(), value: undefined }],
    malformed: [{ name: 'a body', bytes: bytesOf('00'), alert: 'decode_error' }],
  });
});

describe('ServerHelloDone (RFC 5246 §7.4.5)', () => {
  describeCodec({
    parse: parseServerHelloDone,
    encode: encodeServerHelloDone,
    examples: [{ name: 'the empty body', bytes: bytesOf(), value: undefined }],
    malformed: [{ name: 'a body', bytes: bytesOf('00 00'), alert: 'decode_error' }],
  });
});
