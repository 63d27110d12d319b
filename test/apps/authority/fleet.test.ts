import { expect } from 'chai';
import { Fleet } from './fleet.ts';

describe('an authority and its hosts', function () {
  this.timeout(30_000);
  let fleet: Fleet;

  beforeEach(() => {
    fleet = new Fleet();
  });

  afterEach(async () => {
    await fleet.close();
  });

  it('enrols a host', async () => {
    const { running } = await fleet.startAuthority();
    const host = await fleet.startHost();
    const id = await fleet.enroll(running, host);
    expect(id).to.match(/^spiffe:\/\/example\.org\/service\//u);
  });
});
