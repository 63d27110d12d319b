import { expect } from 'chai';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { startTestSidecar } from '../sidecar/fixture.ts';

describe('a key file others may read', () => {
  for (const { mode, warned } of [
    { mode: 0o600, warned: false },
    { mode: 0o400, warned: false },
    { mode: 0o640, warned: true },
    { mode: 0o604, warned: true },
    { mode: 0o602, warned: true },
  ]) {
    it(`with mode ${mode.toString(8)} ${warned ? 'is warned about' : 'is none'}`, async () => {
      const sidecar = await startTestSidecar({
        prepare: (directory) => {
          chmodSync(join(directory, 'web.key'), mode);
        },
      });
      const warnings = sidecar.log.filter(({ msg }) => msg === 'identity is exposed');
      await sidecar.close();
      expect(warnings).to.have.length(warned ? 1 : 0);
      if (warned) expect(warnings[0]!['detail']).to.contain('web.key');
    });
  }
});
