import { expect } from 'chai';
import { createHash } from 'node:crypto';
import { Transcript } from '../../src/tls/transcript.ts';
import { bytesOf, plain } from '../support/codec-suite.ts';

const first = bytesOf('01 000001 aa');
const second = bytesOf('02 000001 bb');
const third = bytesOf('0b 000000');

const digestOf = (hash: string, ...messages: Uint8Array[]): string => {
  const running = createHash(hash);
  for (const message of messages) running.update(message);
  return running.digest('hex');
};

describe('Transcript (RFC 5246 §7.4.9)', () => {
  for (const hash of ['sha256', 'sha384'] as const) {
    it(`hashes with ${hash} what came before the choice and after it`, () => {
      const transcript = new Transcript({ keepRaw: false });
      transcript.add(first);
      transcript.add(second);
      transcript.chooseHash(hash);
      expect(plain(transcript.digest())).to.equal(digestOf(hash, first, second));
      transcript.add(third);
      expect(plain(transcript.digest())).to.equal(digestOf(hash, first, second, third));
      expect(plain(transcript.digest())).to.equal(digestOf(hash, first, second, third));
    });
  }

  it('keeps the messages for CertificateVerify when asked (RFC 5246 §7.4.8)', () => {
    const transcript = new Transcript({ keepRaw: true });
    transcript.add(first);
    transcript.chooseHash('sha256');
    transcript.add(second);
    expect(plain(transcript.raw())).to.equal(plain(bytesOf(first, second)));
    expect(plain(transcript.digest())).to.equal(digestOf('sha256', first, second));
  });

  it('goes on hashing after the messages are dropped', () => {
    const transcript = new Transcript({ keepRaw: true });
    transcript.add(first);
    transcript.chooseHash('sha384');
    transcript.dropRaw();
    transcript.add(second);
    expect(() => transcript.raw()).to.throw(TypeError);
    expect(plain(transcript.digest())).to.equal(digestOf('sha384', first, second));
  });

  it('loses nothing when messages are dropped before a hash is chosen', () => {
    const transcript = new Transcript({ keepRaw: true });
    transcript.add(first);
    transcript.dropRaw();
    transcript.add(second);
    transcript.chooseHash('sha256');
    expect(plain(transcript.digest())).to.equal(digestOf('sha256', first, second));
  });

  it('refuses use out of turn', () => {
    const transcript = new Transcript({ keepRaw: false });
    expect(() => transcript.digest()).to.throw(TypeError);
    expect(() => transcript.raw()).to.throw(TypeError);
    transcript.chooseHash('sha256');
    expect(() => {
      transcript.chooseHash('sha256');
    }).to.throw(TypeError);
  });
});
