import { expect } from 'chai';
import { decodeStateFile, encodeStateFile, StateFileError } from '../../src/identity/state-file.ts';

describe('state files', () => {
  const body = Buffer.from('what is kept');
  const file = encodeStateFile('current', body);

  it('give back what was put in', () => {
    expect(Buffer.from(decodeStateFile('current', file))).to.deep.equal(body);
    expect(decodeStateFile('trust', encodeStateFile('trust', new Uint8Array()))).to.have.length(0);
  });

  for (let length = 0; length < file.length; length += 1) {
    it(`are refused after ${String(length)} bytes`, () => {
      expect(() => decodeStateFile('current', file.subarray(0, length))).to.throw(
        StateFileError,
        length === 0 ? 'is empty' : /cut short/,
      );
    });
  }

  it('are refused with any byte changed', () => {
    for (let index = 0; index < file.length; index += 1) {
      const changed = Uint8Array.from(file);
      changed[index] = (changed[index] ?? 0) ^ 0x40;
      expect(() => decodeStateFile('current', changed), String(index)).to.throw(StateFileError);
    }
  });

  const cases = [
    {
      what: 'of somebody else',
      bytes: Buffer.from('-----BEGIN CERTIFICATE'),
      says: /not a file of ours/,
    },
    { what: 'of zeros', bytes: Buffer.alloc(4096), says: /not a file of ours/ },
    {
      what: 'with more behind',
      bytes: Buffer.concat([file, Buffer.of(0)]),
      says: /1 bytes too many/,
    },
    { what: 'of another kind', bytes: encodeStateFile('pending', body), says: /but another one/ },
  ];
  for (const { what, bytes, says } of cases) {
    it(`are refused when they are ${what}`, () => {
      expect(() => decodeStateFile('current', bytes)).to.throw(StateFileError, says);
    });
  }
});
