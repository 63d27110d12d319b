import { expect } from 'chai';
import { checked, corpusOf, fuzz } from './campaign.ts';
import { targets } from './targets/index.ts';

describe('bytes of others', () => {
  for (const target of targets) {
    describe(target.name, () => {
      it('bear everything found or kept so far', () => {
        for (const { file, input } of corpusOf(target)) {
          expect(() => checked(target, input), file).not.to.throw();
        }
      });

      it('bear some changes', () => {
        const { finds } = fuzz(target, { seed: 7, goOn: (cases) => cases < 300 });
        expect(finds.map(({ message }) => message)).to.deep.equal([]);
      });
    });
  }
});
