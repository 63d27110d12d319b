import { expect } from 'chai';
import { RevocationList, type RevokedCertificate } from '../../src/identity/revocation-list.ts';
import { encodeRecord, readRecords } from '../../src/identity/revocation-record.ts';

describe('records of revocations', () => {
  const heardAt = new Date(1_780_000_000_000);
  const records = [1, 2, 3].map((sequence) => ({
    position: { epoch: 'e0000001', sequence, heardAt },
    added: [
      {
        serial: Uint8Array.from(Buffer.from([0x4a, sequence])),
        reason: 'keyCompromise',
        notAfter: new Date(1_790_000_000_000),
      },
      {
        spiffeId: `spiffe://example.test/agent/${String(sequence)}`,
        reason: 'x',
        notAfter: undefined,
      },
    ],
  }));
  const bytes = Buffer.concat(records.map(encodeRecord));

  it('are read as they were written', () => {
    const read = readRecords(bytes);
    expect(read.length).to.equal(bytes.length);
    expect(
      read.records.map(({ position, added }) => ({
        position,
        added: added.map((each) =>
          'serial' in each ? { ...each, serial: Uint8Array.from(each.serial) } : each,
        ),
      })),
    ).to.deep.equal(records);
  });

  it('are read as far as they are whole, wherever they end', () => {
    const size = bytes.length / 3;
    for (let length = 0; length < bytes.length; length += 1) {
      const whole = Math.floor(length / size);
      const read = readRecords(bytes.subarray(0, length));
      expect(read.records).to.have.length(whole);
      expect(read.length).to.equal(whole * size);
    }
  });

  it('are read up to the one with a changed byte', () => {
    const size = bytes.length / 3;
    for (let index = 0; index < bytes.length; index += 1) {
      const changed = Buffer.from(bytes);
      changed[index]! ^= 0x10;
      expect(readRecords(changed).records.length, String(index)).to.equal(Math.floor(index / size));
    }
  });
});

describe('a list of revocations', () => {
  const now = () => new Date(0);
  const revoked = (hex: string): RevokedCertificate => ({
    serial: Buffer.from(hex, 'hex'),
    reason: 'unspecified',
    notAfter: undefined,
  });

  it('knows a serial number with and without a zero in front', () => {
    const list = new RevocationList(now);
    list.add([revoked('0081'), revoked('7f')]);
    expect(list.isRevoked({ serial: Buffer.from('81', 'hex') })).to.equal(true);
    expect(list.isRevoked({ serial: Buffer.from('007f', 'hex') })).to.equal(true);
    expect(list.isRevoked({ serial: Buffer.from('8100', 'hex') })).to.equal(false);
    expect([...list.all()].map((each) => 'serial' in each && each.serial[0])).to.deep.equal([
      0x81, 0x7f,
    ]);
  });

  it('tells what is new, once, until told to stop', () => {
    const list = new RevocationList(now);
    const told: (number | undefined)[] = [];
    const stop = list.onAdded((added) => told.push(added?.length));
    list.add([revoked('01'), revoked('02')]);
    list.add([revoked('02')]);
    list.replace([revoked('03')]);
    stop();
    list.add([revoked('04')]);
    expect(told).to.deep.equal([2, undefined]);
    expect(list.size).to.equal(2);
  });
});
