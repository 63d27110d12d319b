import { expect } from 'chai';
import { SourceLimits, sourceOf } from '../../../src/apps/in-process-tls/source-limits.ts';

describe('sourceOf', () => {
  for (const [address, source] of [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::6', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['', ''],
  ] as const) {
    it(`is ${source} for ${address === '' ? 'no address' : address}`, () => {
      expect(sourceOf(address)).to.equal(source);
    });
  }
});

describe('SourceLimits', () => {
  let now: number;
  let limits: SourceLimits;

  beforeEach(() => {
    now = 0;
    limits = new SourceLimits({
      connectionsPerSource: 2,
      handshakesPerSecondPerSource: 3,
      now: () => new Date(now),
    });
  });

  function admit(address: string): string | (() => void) {
    const admitted = limits.admit(address);
    return 'release' in admitted ? admitted.release : admitted.refusal;
  }

  it('bounds the connections of one source, not those of others', () => {
    const first = admit('192.0.2.1') as () => void;
    admit('192.0.2.1');
    expect(admit('192.0.2.1')).to.equal('too many connections of one source');
    expect(admit('192.0.2.2')).to.be.a('function');
    first();
    first();
    expect(admit('192.0.2.1')).to.be.a('function');
    now += 1000;
    expect(admit('192.0.2.1')).to.equal('too many connections of one source');
  });

  it('bounds the handshakes of one source in a second', () => {
    for (let count = 0; count < 3; count += 1) (admit('192.0.2.1') as () => void)();
    expect(admit('192.0.2.1')).to.equal('too many handshakes of one source');
    now += 400;
    expect(admit('192.0.2.1')).to.be.a('function');
  });

  it('lets a source wait whose connection was cut', () => {
    (admit('192.0.2.1') as () => void)();
    for (let count = 0; count < 9; count += 1) limits.charge('::ffff:192.0.2.1');
    expect(admit('192.0.2.1')).to.equal('too many handshakes of one source');
    now += 6000;
    expect(admit('192.0.2.1')).to.equal('too many handshakes of one source');
    now += 1000;
    expect(admit('192.0.2.1')).to.be.a('function');
  });

  it('remembers a bounded number of sources, and those that are connected', () => {
    admit('192.0.2.1');
    admit('192.0.2.1');
    for (let count = 0; count < 20_000; count += 1) {
      const address = `10.${String(count >> 16)}.${String((count >> 8) & 255)}.${String(count & 255)}`;
      (admit(address) as () => void)();
    }
    expect(limits.size).to.equal(16_384);
    expect(admit('192.0.2.1')).to.equal('too many connections of one source');
  });
});
