import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { fromStatus, ServiceError, toStatus } from '../../src/rpc/errors.ts';

describe('ServiceError on the wire', () => {
  it('keeps code, reason, advice and handshake on the way to the caller', () => {
    const error = new ServiceError('RESOURCE_EXHAUSTED', 'overloaded', 'too many handshakes', {
      retryAfterMs: 250,
      handshakeId: 'abc-1',
    });
    const wire = toStatus(error);
    expect(wire.code).to.equal(status.RESOURCE_EXHAUSTED);
    const back = fromStatus(wire);
    expect(back).to.include({
      status: 'RESOURCE_EXHAUSTED',
      reason: 'overloaded',
      message: 'too many handshakes',
      retryAfterMs: 250,
      handshakeId: 'abc-1',
    });
  });

  it('makes no metadata of what was not said', () => {
    const wire = toStatus(new ServiceError('NOT_FOUND', 'identity_unknown', 'no such identity'));
    expect(Object.keys(wire.metadata.getMap())).to.deep.equal(['sidekey-reason']);
  });

  it('reads a foreign status without reason', () => {
    const error = fromStatus({ code: status.DATA_LOSS, details: 'gone' });
    expect(error).to.include({ status: 'UNAVAILABLE', reason: 'unknown', retryAfterMs: 0 });
  });
});
