import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { z } from 'zod';
import { maxInflationRatio } from '../../../../src/apps/fleet/agent-api/limits.ts';
import { BodyError, type BodyProblem } from '../../../../src/apps/fleet/http/body-error.ts';
import {
  decodeJson,
  encodeJson,
  requireContentType,
} from '../../../../src/apps/fleet/http/json-body.ts';
import { readBody } from '../../../../src/apps/fleet/http/read-body.ts';

const limits = { maxWireBytes: 10_000, maxInflatedBytes: 200_000 };
const gzip = { 'content-encoding': 'gzip' };

describe('bodies of requests and responses', () => {
  const pieces = (...bytes: Uint8Array[]) => Readable.from(bytes.map((one) => Buffer.from(one)));
  const noise = (length: number) =>
    Buffer.from(Array.from({ length }, (_, index) => (index * 7919 * (index % 251)) & 0xff));

  async function problemOf(promise: Promise<unknown>): Promise<BodyProblem | undefined> {
    try {
      await promise;
      return undefined;
    } catch (error) {
      if (error instanceof BodyError) return error.code;
      throw error;
    }
  }

  it('are read plain and gzipped, in any pieces', async () => {
    const body = Buffer.from('{"a":1}');
    const wire = gzipSync(body);
    expect((await readBody(pieces(body), {}, limits)).equals(body)).to.equal(true);
    for (let at = 0; at <= wire.length; at += 1) {
      const stream = pieces(wire.subarray(0, at), wire.subarray(at));
      expect((await readBody(stream, gzip, limits)).equals(body)).to.equal(true);
    }
    expect(await readBody(pieces(), {}, limits)).to.have.length(0);
  });

  it('survive a round trip as JSON', async () => {
    for (const length of [1000, 20_000]) {
      const text = 'ü'.repeat(length);
      const { bytes, headers } = await encodeJson({ text });
      expect(headers['content-length']).to.equal(bytes.length);
      const back = await readBody(pieces(bytes), gzip, limits);
      expect(decodeJson(back, z.object({ text: z.string() })).text).to.equal(text);
    }
  });

  const wire = gzipSync(noise(500));
  /** Small ones are inflated at once, others in another thread. */
  const broken = (size: string, whole: Buffer) => {
    const flipped = Buffer.from(whole);
    flipped[flipped.length - 6]! ^= 1;
    const problem = 'malformed_request' as const;
    return [
      { name: `${size}, that are cut short`, bytes: whole.subarray(0, -1), headers: gzip, problem },
      { name: `${size}, with a wrong checksum`, bytes: flipped, headers: gzip, problem },
      {
        name: `${size}, with bytes behind the end`,
        bytes: Buffer.concat([whole, Buffer.from([0, 1, 2])]),
        headers: gzip,
        problem,
      },
    ];
  };
  const cases: readonly {
    readonly name: string;
    readonly bytes: Uint8Array;
    readonly headers: Record<string, string>;
    readonly problem: BodyProblem;
  }[] = [
    { name: 'longer than allowed', bytes: noise(10_001), headers: {}, problem: 'body_too_large' },
    {
      name: 'said to be longer than allowed',
      bytes: noise(1),
      headers: { 'content-length': '10001' },
      problem: 'body_too_large',
    },
    {
      name: 'that inflate to more than allowed',
      bytes: gzipSync(Buffer.alloc(200_001, 'ab cd ef')),
      headers: gzip,
      problem: 'body_too_large',
    },
    {
      name: 'that inflate too much for their size',
      bytes: gzipSync(Buffer.alloc(150_000)),
      headers: gzip,
      problem: 'body_too_large',
    },
    { name: 'that are no gzip', bytes: noise(100), headers: gzip, problem: 'malformed_request' },
    ...broken('small', wire),
    ...broken('large', gzipSync(randomBytes(8000))),
    {
      name: 'in another encoding',
      bytes: wire,
      headers: { 'content-encoding': 'br' },
      problem: 'unsupported_content',
    },
    {
      name: 'in two encodings',
      bytes: wire,
      headers: { 'content-encoding': 'gzip, gzip' },
      problem: 'unsupported_content',
    },
  ];
  for (const { name, bytes, headers, problem } of cases) {
    it(`are refused ${name}`, async () => {
      expect(await problemOf(readBody(pieces(bytes), headers, limits))).to.equal(problem);
    });
  }

  it('may inflate to as many times their size as allowed', async () => {
    const body = Buffer.alloc(60_000);
    const bytes = gzipSync(body);
    expect(body.length / bytes.length).to.be.above(maxInflationRatio);
    expect(await readBody(pieces(bytes), gzip, limits)).to.have.length(60_000);
  });

  it('are refused when the stream breaks', async () => {
    const stream = new Readable({ read: () => undefined });
    const outcome = problemOf(readBody(stream, {}, limits));
    stream.push('half');
    stream.destroy();
    expect(await outcome).to.equal('malformed_request');
    expect(await problemOf(readBody(stream, {}, limits))).to.equal('malformed_request');
  });

  it('are given up with the reason of the signal', async () => {
    const stream = new Readable({ read: () => undefined });
    const stop = new AbortController();
    const outcome = readBody(stream, {}, limits, { signal: stop.signal }).catch(
      (error: unknown) => error,
    );
    const reason = new Error('too slow');
    stop.abort(reason);
    expect(await outcome).to.equal(reason);
    const again = readBody(stream, {}, limits, { signal: stop.signal }).catch(
      (error: unknown) => error,
    );
    expect(await again).to.equal(reason);
    expect(stream.listenerCount('data')).to.equal(0);
  });

  it('leave nothing of a secret where they passed', async () => {
    const chunk = Buffer.from('a secret');
    const stream = Readable.from([chunk]);
    const body = await readBody(stream, {}, limits, { secret: true });
    expect(body.toString()).to.equal('a secret');
    expect(chunk.every((byte) => byte === 0)).to.equal(true);
  });

  it('say which field is wrong, not what is in it', () => {
    const schema = z.strictObject({ name: z.string().max(3), count: z.int() });
    const read = (text: string) => () => decodeJson(Buffer.from(text), schema);
    expect(read('{"name":"hidden","count":1}')).to.throw(BodyError, /^name: /u);
    expect(read('{"name":"hidden","count":1}')).to.not.throw(/hidden/u);
    expect(read('{"hidden')).to.throw(BodyError, 'body is not JSON in UTF-8');
    expect(read('[]')).to.throw(BodyError, /^body: /u);
    expect(() => decodeJson(Buffer.from([0x22, 0xff, 0x22]), z.string())).to.throw(BodyError);
    expect(decodeJson(Buffer.alloc(0), z.strictObject({}))).to.deep.equal({});
  });

  it('need their content type', () => {
    requireContentType({ 'content-type': 'application/json; charset=utf-8' }, 'application/json');
    requireContentType({}, 'application/json');
    expect(() => {
      requireContentType({ 'content-type': 'text/plain' }, 'application/json');
    }).to.throw(BodyError);
    expect(() => {
      requireContentType({}, 'application/cms');
    }).to.throw(BodyError);
  });
});
