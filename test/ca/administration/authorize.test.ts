import { expect } from 'chai';
import { authorizeOperator, authorizeOwner } from '../../../src/ca/administration/authorize.ts';

describe('authorizeOwner', () => {
  for (const { uid, ownUid, name } of [
    { uid: 1000, ownUid: 1000, name: 'owner' },
    { uid: 0, ownUid: 1000, name: 'root' },
    { uid: 0, ownUid: 0, name: 'owner' },
  ]) {
    it(`knows uid ${String(uid)} as ${name} of a process of ${String(ownUid)}`, () => {
      expect(authorizeOwner(uid, ownUid)).to.deep.equal({ name, source: 'unix' });
    });
  }

  for (const uid of [1001, undefined]) {
    it(`refuses uid ${String(uid)}`, () => {
      expect(() => authorizeOwner(uid, 1000))
        .to.throw()
        .with.property('reason', 'not_the_owner');
    });
  }
});

describe('authorizeOperator', () => {
  it('takes a certificate of role operator', () => {
    const id = 'spiffe://example.org/operator/7';
    expect(authorizeOperator(id, 'example.org', '192.0.2.1')).to.deep.equal({
      name: id,
      source: '192.0.2.1',
    });
  });

  for (const id of [
    undefined,
    '',
    'spiffe://example.org/agent/7',
    'spiffe://example.org/manager/7',
    'spiffe://example.org/authority/7',
    'spiffe://example.org/operator',
    'spiffe://example.org/x/operator/7',
    'spiffe://other.org/operator/7',
    'https://example.org/operator/7',
  ]) {
    it(`refuses ${id ?? 'no certificate'}`, () => {
      expect(() => authorizeOperator(id, 'example.org', '192.0.2.1'))
        .to.throw()
        .with.property('reason', 'not_an_operator');
    });
  }
});
