import { expect } from 'chai';
import {
  applicationProtocols,
  keyingMaterial,
  peerName,
  refuseForeignOptions,
} from '../../src/offload/connection-options.ts';
import type { OffloadEnvironment } from '../../src/offload/environment.ts';
import { resolveSettings } from '../../src/offload/settings.ts';
import { parseSidecarAddress } from '../../src/offload/sidecar-address.ts';

const nothing: OffloadEnvironment = {
  address: undefined,
  token: undefined,
  tokenFile: undefined,
  identity: undefined,
  recordCipher: undefined,
};

describe('parseSidecarAddress', () => {
  for (const [text, address] of [
    ['unix:/run/sidekey/s.sock', { path: '/run/sidekey/s.sock' }],
    ['unix:///run/sidekey/s.sock', { path: '/run/sidekey/s.sock' }],
    ['unix:./s.sock', { path: './s.sock' }],
    ['127.0.0.1:4000', { host: '127.0.0.1', port: 4000 }],
    ['127.9.9.9:4000', { host: '127.9.9.9', port: 4000 }],
    ['localhost:1', { host: 'localhost', port: 1 }],
    ['[::1]:65535', { host: '::1', port: 65535 }],
  ] as const) {
    it(`reads ${text}`, () => {
      expect(parseSidecarAddress(text)).to.deep.equal(address);
    });
  }

  for (const text of [
    '',
    'unix:',
    '/run/s.sock',
    '127.0.0.1',
    '127.0.0.1:0',
    '127.0.0.1:65536',
    '::1:80',
    '10.0.0.1:4000',
    'sidecar.example:4000',
    '127.evil.example:4000',
    '[::2]:4000',
  ]) {
    it(`refuses "${text}"`, () => {
      expect(() => parseSidecarAddress(text)).to.throw(TypeError);
    });
  }
});

describe('resolveSettings', () => {
  it('needs an address', () => {
    expect(() => resolveSettings({}, nothing)).to.throw(TypeError, 'SIDEKEY_ADDRESS');
  });

  it('takes what is left out from the environment', async () => {
    const settings = resolveSettings(
      {},
      { ...nothing, address: 'unix:./env', token: 'secret', identity: 'web', recordCipher: 'node' },
    );
    expect(settings.address).to.deep.equal({ path: './env' });
    expect(settings.identity).to.equal('web');
    expect(settings.recordCipher).to.equal('node');
    expect(await settings.token.current()).to.equal('secret');
  });

  it('does not give the token of the environment to another sidecar', async () => {
    const settings = resolveSettings(
      { address: 'unix:./mine' },
      { ...nothing, address: 'unix:./env', token: 'secret', identity: 'web' },
    );
    expect(await settings.token.current()).to.equal(undefined);
    expect(settings.identity).to.equal(undefined);
  });

  for (const [name, options] of [
    ['a token and a token file', { token: 'a', tokenFile: 'b' }],
    ['no time for a handshake', { timeouts: { handshakeMs: 0 } }],
    ['a time that is no number', { timeouts: { sidecarMs: Number.NaN } }],
    ['no handshakes at all', { limits: { handshakes: 0 } }],
    ['a queue of less than nothing', { limits: { queue: -1 } }],
  ] as const) {
    it(`refuses ${name}`, () => {
      expect(() => resolveSettings({ address: 'unix:./s', ...options }, nothing)).to.throw();
    });
  }

  it('refuses a record cipher it does not know', () => {
    expect(() =>
      resolveSettings({ address: 'unix:./s' }, { ...nothing, recordCipher: 'rot13' }),
    ).to.throw(TypeError, 'rot13');
  });
});

describe('options of connections', () => {
  it('take ALPN names in all the forms node:tls takes', () => {
    expect(applicationProtocols(undefined)).to.deep.equal([]);
    expect(applicationProtocols(['h2', Buffer.from('x')])).to.deep.equal(['h2', 'x']);
    expect(applicationProtocols(Buffer.from('\x02h2\x08http/1.1'))).to.deep.equal([
      'h2',
      'http/1.1',
    ]);
    for (const malformed of [Buffer.from('\x03h2'), Buffer.from('\x00'), ['']]) {
      expect(() => applicationProtocols(malformed)).to.throw(RangeError);
    }
  });

  it('tell SPIFFE IDs from DNS names', () => {
    expect(peerName('spiffe://a/b')).to.deep.equal({ type: 'spiffe', id: 'spiffe://a/b' });
    expect(peerName('a.test')).to.deep.equal({ type: 'hostname', name: 'a.test' });
    expect(() => peerName('')).to.throw(TypeError);
  });

  it('bound exported keying material', () => {
    expect(() => keyingMaterial([{ label: 'a', length: 0 }])).to.throw(RangeError);
    expect(() => keyingMaterial([{ label: 'a', length: 1025 }])).to.throw(RangeError);
    expect(keyingMaterial([{ label: 'a', length: 1024 }])[0]).not.to.have.property('context');
  });

  for (const name of ['key', 'cert', 'pfx', 'ca', 'crl', 'secureContext', 'pskCallback']) {
    it(`do not swallow ${name} in silence`, () => {
      expect(() => {
        refuseForeignOptions({ [name]: 'x' });
      }).to.throw(TypeError, name);
      refuseForeignOptions({ [name]: undefined });
    });
  }

  it('do not switch verification off', () => {
    expect(() => {
      refuseForeignOptions({ rejectUnauthorized: false });
    }).to.throw(TypeError);
    refuseForeignOptions({ rejectUnauthorized: true });
  });
});
