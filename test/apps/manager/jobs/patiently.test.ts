import { expect } from 'chai';
import { patiently } from '../../../../src/apps/manager/jobs/patiently.ts';
import { OffloadError, OffloadErrorCode } from '../../../../src/offload/index.ts';

describe('calls to a sidecar that has too much to do', () => {
  const busy = () =>
    new OffloadError(OffloadErrorCode.overloaded, 'too many calls', { retryAfterMs: 1 });

  it('are made again until it has time', async () => {
    let calls = 0;
    const answer = await patiently(
      () => {
        calls += 1;
        return calls < 4 ? Promise.reject(busy()) : Promise.resolve('judged');
      },
      () => 0,
    );
    expect([answer, calls]).to.deep.equal(['judged', 4]);
  });

  it('are not made again when they fail for another reason', async () => {
    let calls = 0;
    const gone = new OffloadError(OffloadErrorCode.unavailable, 'no sidecar');
    const outcome = await patiently(
      () => {
        calls += 1;
        return Promise.reject(gone);
      },
      () => 0,
    ).catch((error: unknown) => error);
    expect([outcome, calls]).to.deep.equal([gone, 1]);
  });
});
