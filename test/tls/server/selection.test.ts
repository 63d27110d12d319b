import { expect } from 'chai';
import { TlsAlertError } from '../../../src/tls/alert.ts';
import { cipherSuites } from '../../../src/tls/cipher-suites.ts';
import type { ServerConfig } from '../../../src/tls/config.ts';
import { NamedGroup, SignatureScheme } from '../../../src/tls/registries.ts';
import {
  credentialsForName,
  select,
  selectApplicationProtocol,
} from '../../../src/tls/server/selection.ts';
import { serverConfig, testIdentity } from '../../support/engine-driver.ts';
import { PuppetClient } from '../../support/puppet.ts';

const {
  ecdsa_secp256r1_sha256,
  ecdsa_secp384r1_sha384,
  ed25519,
  rsa_pkcs1_sha256,
  rsa_pss_rsae_sha256,
  rsa_pss_rsae_sha384,
  rsa_pss_pss_sha256,
} = SignatureScheme;
const dnsNames = ['server.test'];
const p256 = testIdentity('ecdsa-p256', { dnsNames }).credential;
const p384 = testIdentity('ecdsa-p384', { dnsNames }).credential;
const edwards = testIdentity('ed25519', { dnsNames }).credential;
const rsa = testIdentity('rsa', { dnsNames }).credential;
const pss = testIdentity('rsa-pss', { dnsNames }).credential;
const rsaChain = testIdentity('ecdsa-p256', {
  dnsNames,
  chainSchemes: [rsa_pkcs1_sha256],
}).credential;
const other = testIdentity('ecdsa-p256', { dnsNames: ['other.test'] }).credential;

const aes128 = 0xc02b;
const aes256 = 0xc02c;
const chacha = 0xcca9;
const rsaAes128 = 0xc02f;
const grease = 0x1a1a;

type Changes = Parameters<PuppetClient['helloWith']>[0];

function selected(config: Partial<ServerConfig>, hello: Changes) {
  const whole = serverConfig({ credentials: [p256, rsa], ...config });
  try {
    const { credential, cipherSuite, group, scheme } = select(
      whole,
      new PuppetClient().helloWith(hello),
    );
    return { credential, suite: cipherSuite.code, group, scheme };
  } catch (error) {
    if (error instanceof TlsAlertError) return error.alert;
    throw error;
  }
}

const reversed = [...cipherSuites].reverse();

describe('selection of suite, credential and scheme (RFC 5246 §7.4.1.3, §7.4.2, RFC 8422 §5.3)', () => {
  const cases: readonly {
    readonly name: string;
    readonly config?: Partial<ServerConfig>;
    readonly hello: Changes;
    readonly expected: Partial<Exclude<ReturnType<typeof selected>, string>> | 'handshake_failure';
  }[] = [
    {
      name: 'prefers our order of suites',
      hello: { cipherSuites: [aes256, aes128] },
      expected: { suite: aes128, credential: p256 },
    },
    {
      name: 'takes ChaCha20 when the client puts it first',
      hello: { cipherSuites: [chacha, aes128] },
      expected: { suite: chacha },
    },
    {
      name: 'takes ChaCha20 when the client puts it first but for GREASE',
      hello: { cipherSuites: [grease, 0x1303, chacha, aes128] },
      expected: { suite: chacha },
    },
    {
      name: 'does not take ChaCha20 when AES comes first',
      hello: { cipherSuites: [aes256, chacha, aes128] },
      expected: { suite: aes128 },
    },
    {
      name: 'does not take ChaCha20 when it is not allowed',
      config: { cipherSuites: cipherSuites.slice(0, 4) },
      hello: { cipherSuites: [chacha, aes256] },
      expected: { suite: aes256 },
    },
    {
      name: 'takes ChaCha20 for the key it has when the client puts the other first',
      config: { credentials: [rsa] },
      hello: { cipherSuites: [chacha, rsaAes128, 0xcca8] },
      expected: { suite: 0xcca8 },
    },
    {
      name: 'keeps to another order when configured',
      config: { cipherSuites: reversed },
      hello: {},
      expected: { suite: chacha },
    },
    {
      name: 'shows RSA when the client knows no ECDSA suite',
      hello: { cipherSuites: [rsaAes128] },
      expected: { suite: rsaAes128, credential: rsa, scheme: rsa_pss_rsae_sha256 },
    },
    {
      name: 'shows RSA when the client verifies no ECDSA',
      hello: { extensions: { signatureAlgorithms: [rsa_pkcs1_sha256] } },
      expected: { suite: rsaAes128, credential: rsa, scheme: rsa_pkcs1_sha256 },
    },
    {
      name: "prefers PSS to PKCS #1 whatever the client's order",
      config: { credentials: [rsa] },
      hello: { extensions: { signatureAlgorithms: [rsa_pkcs1_sha256, rsa_pss_rsae_sha384] } },
      expected: { scheme: rsa_pss_rsae_sha384 },
    },
    {
      name: 'signs with a PSS key under its own scheme only',
      config: { credentials: [pss] },
      hello: { extensions: { signatureAlgorithms: [rsa_pss_rsae_sha256, rsa_pss_pss_sha256] } },
      expected: { scheme: rsa_pss_pss_sha256 },
    },
    {
      name: 'shows Ed25519 under an ECDSA suite',
      config: { credentials: [edwards] },
      hello: { extensions: { signatureAlgorithms: [ed25519] } },
      expected: { suite: aes128, scheme: ed25519 },
    },
    {
      name: 'binds no ECDSA hash to a curve',
      config: { credentials: [p384] },
      hello: { extensions: { signatureAlgorithms: [ecdsa_secp256r1_sha256] } },
      expected: { credential: p384, scheme: ecdsa_secp256r1_sha256 },
    },
    {
      name: 'prefers the hash as strong as the curve',
      config: { credentials: [p384] },
      hello: {},
      expected: { scheme: ecdsa_secp384r1_sha384 },
    },
    {
      name: 'does not show a key on a curve the client does not know',
      config: { credentials: [p384, rsa] },
      hello: { extensions: { supportedGroups: [23, 29] } },
      expected: { credential: rsa },
    },
    {
      name: 'shows any curve to a client that lists none',
      config: { credentials: [p384] },
      hello: { extensions: { supportedGroups: undefined } },
      expected: { credential: p384, group: NamedGroup.secp256r1 },
    },
    {
      name: 'prefers a chain the client can verify',
      config: { credentials: [rsaChain, p256] },
      hello: { extensions: { signatureAlgorithms: [ecdsa_secp256r1_sha256] } },
      expected: { credential: p256 },
    },
    {
      name: 'shows a chain the client may not be able to verify rather than none',
      config: { credentials: [rsaChain] },
      hello: { extensions: { signatureAlgorithms: [ecdsa_secp256r1_sha256] } },
      expected: { credential: rsaChain },
    },
    {
      name: 'judges chains by signature_algorithms_cert when it is there',
      config: { credentials: [rsaChain, p256] },
      hello: {
        extensions: {
          signatureAlgorithms: [ecdsa_secp256r1_sha256],
          signatureAlgorithmsCert: [rsa_pkcs1_sha256],
        },
      },
      expected: { credential: rsaChain },
    },
    {
      name: 'prefers our order of groups',
      hello: { extensions: { supportedGroups: [grease, 24, 29, 23] } },
      expected: { group: NamedGroup.secp256r1 },
    },
    {
      name: 'falls back to what the client has of them',
      hello: { extensions: { supportedGroups: [grease, 24, 29] }, cipherSuites: [rsaAes128] },
      expected: { group: NamedGroup.x25519 },
    },
    {
      name: 'fails without a common group',
      hello: { extensions: { supportedGroups: [grease, 25, 30] } },
      expected: 'handshake_failure',
    },
    {
      name: 'fails for a silent client when P-256 is not allowed',
      config: { namedGroups: [NamedGroup.x25519] },
      hello: { extensions: { supportedGroups: undefined } },
      expected: 'handshake_failure',
    },
    {
      name: 'fails without a common suite',
      hello: { cipherSuites: [grease, 0x1301, 0x002f, 0xc013] },
      expected: 'handshake_failure',
    },
    {
      name: 'fails when only signalling values are offered',
      hello: { cipherSuites: [0x00ff, 0x5600] },
      expected: 'handshake_failure',
    },
    {
      name: 'fails without a common scheme',
      hello: { extensions: { signatureAlgorithms: [0x0203, 0x0201, 0x0101] } },
      expected: 'handshake_failure',
    },
    {
      name: 'fails without signature_algorithms, which means SHA-1',
      hello: { extensions: { signatureAlgorithms: undefined } },
      expected: 'handshake_failure',
    },
    {
      name: 'fails when suite and scheme fit different keys only',
      hello: { cipherSuites: [aes128], extensions: { signatureAlgorithms: [rsa_pss_rsae_sha256] } },
      expected: 'handshake_failure',
    },
    {
      name: 'shows the credential for the name',
      config: { credentials: [other, p256] },
      hello: {},
      expected: { credential: p256 },
    },
    {
      name: 'does not leave the name for a better fit',
      config: { credentials: [p256, testIdentity('rsa', { dnsNames: ['x.test'] }).credential] },
      hello: { cipherSuites: [rsaAes128] },
      expected: 'handshake_failure',
    },
  ];
  for (const { name, config = {}, hello, expected } of cases) {
    it(name, () => {
      const outcome = selected(config, hello);
      if (typeof expected === 'string') expect(outcome).to.equal(expected);
      else expect(outcome).to.include(expected);
    });
  }

  it('is the same for the same arguments', () => {
    expect(selected({}, {})).to.deep.equal(selected({}, {}));
  });
});

describe('credentials for a server name (RFC 6066 §3)', () => {
  const credentials = [other, p256, rsa];
  for (const [name, serverName, unknownServerName, expected] of [
    ['all without a name', undefined, 'refuse', credentials],
    ['those for the name, in order', 'server.test', 'refuse', [p256, rsa]],
    ['all for an unknown name by default', 'unknown.test', 'default', credentials],
  ] as const) {
    it(`are ${name}`, () => {
      const config = serverConfig({ credentials, unknownServerName });
      expect(credentialsForName(config, serverName)).to.deep.equal(expected);
    });
  }

  it('are none, fatally, for an unknown name where that is configured', () => {
    const config = serverConfig({ credentials, unknownServerName: 'refuse' });
    expect(() => credentialsForName(config, 'unknown.test'))
      .to.throw(TlsAlertError)
      .with.property('alert', 'unrecognized_name');
  });
});

describe('selection of the application protocol (RFC 7301 §3.2)', () => {
  for (const { name, ours, theirs, required = false, expected } of [
    { name: 'ours first', ours: ['h2', 'http/1.1'], theirs: ['http/1.1', 'h2'], expected: 'h2' },
    {
      name: 'the only common one',
      ours: ['h2', 'http/1.1'],
      theirs: ['\x0a\x0a', 'http/1.1'],
      expected: 'http/1.1',
    },
    { name: 'none when we have none', ours: [], theirs: ['h2'], expected: undefined },
    {
      name: 'none when we have none, though one is required',
      ours: [],
      theirs: undefined,
      required: true,
      expected: undefined,
    },
    {
      name: 'none when the client is silent',
      ours: ['h2'],
      theirs: undefined,
      expected: undefined,
    },
    {
      name: 'a failure when the client is silent and one is required',
      ours: ['h2'],
      theirs: undefined,
      required: true,
      expected: 'no_application_protocol',
    },
    {
      name: 'a failure when there is none in common',
      ours: ['h2'],
      theirs: ['h3', 'H2'],
      expected: 'no_application_protocol',
    },
  ]) {
    it(`is ${name}`, () => {
      const config = serverConfig({
        credentials: [p256],
        applicationProtocols: ours,
        requireApplicationProtocol: required,
      });
      const choose = () =>
        selectApplicationProtocol(config, {
          extendedMasterSecret: true,
          applicationProtocols: theirs,
        });
      if (expected === 'no_application_protocol') {
        expect(choose).to.throw(TlsAlertError).with.property('alert', expected);
      } else {
        expect(choose()).to.equal(expected);
      }
    });
  }
});
