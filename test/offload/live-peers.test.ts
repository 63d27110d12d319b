import { expect } from 'chai';
import { leafNames } from '../../src/offload/leaf-names.ts';
import { type LiveConnection, LivePeers } from '../../src/offload/live-peers.ts';
import { parseCertificate } from '../../src/pki/index.ts';
import { createTestCa } from '../support/test-ca.ts';

const ca = createTestCa();
const nothing = new Uint8Array();

class Connection implements LiveConnection {
  readonly peerCertificateChain: readonly Uint8Array[];
  readonly peerIdentity: string | undefined;
  readonly ends: string[] = [];

  constructor(chain: readonly Uint8Array[], peerIdentity?: string) {
    this.peerCertificateChain = chain;
    this.peerIdentity = peerIdentity;
  }

  closeRevoked(reason: string): void {
    this.ends.push(reason);
  }
}

function serialOf(chain: readonly Uint8Array[]): Uint8Array {
  const { serialNumber } = parseCertificate(chain[0]!);
  return serialNumber[0] === 0 ? serialNumber.subarray(1) : serialNumber;
}

describe('LivePeers', () => {
  const { chain } = ca.issue({ uris: ['spiffe://test/service/a'] });
  const serial = serialOf(chain);
  const bySerial = { serial, issuer: nothing, spiffeId: '', reason: 'keyCompromise' };
  const byName = { ...bySerial, serial: nothing, spiffeId: 'spiffe://test/service/a' };

  it('tells of revoked peers, connected or not, as long as it is asked to', () => {
    const peers = new LivePeers();
    const heard: string[] = [];
    const stop = peers.onRevoked(({ reason }) => heard.push(reason));
    peers.revoke([byName]);
    stop();
    peers.revoke([byName]);
    expect(heard).to.eql(['keyCompromise']);
  });

  for (const [name, peer, ended] of [
    ['its serial number', bySerial, 1],
    ['its SPIFFE ID', byName, 1],
    ['both, once', { ...bySerial, spiffeId: 'spiffe://test/service/a' }, 1],
    ['serial number and issuer', { ...bySerial, issuer: ca.parsed.subject }, 1],
    ['the serial number of another CA', { ...bySerial, issuer: Uint8Array.of(0x30, 0) }, 0],
    ['another serial number', { ...bySerial, serial: Uint8Array.of(1) }, 0],
    ['another SPIFFE ID', { ...byName, spiffeId: 'spiffe://test/service/b' }, 0],
    ['nothing', { ...bySerial, serial: nothing }, 0],
  ] as const) {
    it(`finds a connection by ${name}: ${String(ended)}`, () => {
      const peers = new LivePeers();
      const connection = new Connection(chain, 'spiffe://test/service/a');
      peers.add(connection);
      expect(peers.revoke([peer])).to.equal(ended);
      expect(connection.ends).to.have.length(ended);
      expect(peers.size).to.equal(1 - ended);
    });
  }

  it('ends all connections of a peer, and no other', () => {
    const peers = new LivePeers();
    const many = Array.from({ length: 3 }, () => new Connection(chain));
    const other = new Connection(ca.issue({ dnsNames: ['b.example.org'] }).chain);
    for (const connection of [...many, other]) peers.add(connection);
    expect(peers.revoke([bySerial, bySerial])).to.equal(3);
    expect(many.map(({ ends }) => ends)).to.deep.equal([
      ['keyCompromise'],
      ['keyCompromise'],
      ['keyCompromise'],
    ]);
    expect(other.ends).to.deep.equal([]);
  });

  it('says when there is the first connection, and when there is none any more', () => {
    const peers = new LivePeers();
    const changes: boolean[] = [];
    peers.onChange = (occupied) => changes.push(occupied);
    const [a, b] = [new Connection(chain), new Connection(chain)];
    peers.add(a);
    peers.add(b);
    peers.remove(a);
    peers.remove(a);
    peers.remove(b);
    expect(changes).to.deep.equal([true, false]);
  });

  it('has no interest in peers without a certificate', () => {
    const peers = new LivePeers();
    peers.onChange = () => expect.fail('it took an interest');
    peers.add(new Connection([]));
    expect(peers.size).to.equal(0);
  });
});

describe('leafNames', () => {
  it('reads serial number and issuer of real certificates', () => {
    for (let count = 0; count < 20; count += 1) {
      const { chain } = ca.issue({ dnsNames: ['a.example.org'], intermediate: count % 2 === 0 });
      const parsed = parseCertificate(chain[0]!);
      const names = leafNames(chain)!;
      expect(Buffer.from(names.key, 'latin1')).to.deep.equal(Buffer.from(serialOf(chain)));
      expect(Buffer.compare(names.issuer, parsed.issuer)).to.equal(0);
    }
  });

  it('reads nothing in what is cut short, wherever that is', () => {
    const { chain } = ca.issue({ dnsNames: ['a.example.org'] });
    const { tbs } = parseCertificate(chain[0]!);
    for (let length = 0; length < chain[0]!.length - 1; length += 1) {
      expect(leafNames([chain[0]!.subarray(0, length)])).to.equal(undefined);
    }
    expect(tbs.length).to.be.above(0);
  });

  it('reads nothing in what is no certificate', () => {
    for (const bytes of [[], [0x30], [0x30, 0x84, 0, 0, 0, 0], [0x30, 0x02, 0x05, 0x00]]) {
      expect(leafNames([Uint8Array.from(bytes)])).to.equal(undefined);
    }
    expect(leafNames([])).to.equal(undefined);
  });
});
