import { expect } from 'chai';
import { skippedTitle } from '../support/skip.ts';
import { runLimbo } from './limbo.ts';

const directory = process.env['SIDEKEY_VECTORS'];

describe('x509-limbo (RFC 5280 §6), from the directory SIDEKEY_VECTORS names', () => {
  if (directory === undefined) {
    it.skip(
      skippedTitle('agrees but for the differences we know of', 'SIDEKEY_VECTORS is not set'),
    );
    return;
  }

  it('agrees but for the differences we know of', () => {
    const { passed, surprises } = runLimbo(directory);
    expect(surprises).to.deep.equal([]);
    expect(passed).to.be.greaterThan(150);
  });
});
