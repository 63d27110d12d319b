import { expect } from 'chai';
import { describeFailure } from '../../src/cli/failure.ts';
import { formatTable, printable } from '../../src/cli/terminal.ts';

describe('what commands print', () => {
  it('aligns the columns of a table and leaves no blanks at line ends', () => {
    const table = formatTable([
      ['NAME', 'KEY', 'UNTIL'],
      ['web', 'ecdsa-p256', ''],
      ['a-long-name', 'rsa-2048', 'x'],
    ]);
    expect(table.split('\n')).to.deep.equal([
      'NAME         KEY         UNTIL',
      'web          ecdsa-p256',
      'a-long-name  rsa-2048    x',
    ]);
  });

  it('lets no control character of a peer through to the terminal', () => {
    expect(printable('a\u001b[31mb\r\nc\u0007\u009b\u202e')).to.equal('a�[31mb��c���');
    expect(printable('spiffe://example.org/ä')).to.equal('spiffe://example.org/ä');
  });

  it('describes an error by its message and the facts it can be looked up by', () => {
    const error = Object.assign(new Error('certificate of the peer has expired'), {
      code: 'CERT_HAS_EXPIRED',
      alert: 'certificate_expired',
      phase: 'ExpectServerKeyExchange',
      handshakeId: '01J',
    });
    expect(describeFailure(error)).to.equal(
      'certificate of the peer has expired (code CERT_HAS_EXPIRED, alert certificate_expired, phase ExpectServerKeyExchange, handshake 01J)',
    );
    expect(describeFailure(new TypeError('no'))).to.equal('no');
    expect(describeFailure('text')).to.equal('text');
  });
});
