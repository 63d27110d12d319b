import { expect } from 'chai';
import { ConfigurationError, parseSidecarConfig } from '../../src/sidecar/index.ts';

const minimal = `listen:
  - address: unix:./s.sock
identities:
  web: { certificate: web.pem, privateKey: web.key }
trust: { bundle: roots.pem }
`;

function problemsOf(text: string): readonly string[] {
  try {
    parseSidecarConfig(text, '/etc/sidekey/sidecar.yaml');
  } catch (error) {
    if (error instanceof ConfigurationError) return error.problems;
    throw error;
  }
  throw new Error('the configuration is accepted');
}

describe('parseSidecarConfig', () => {
  it('fills in every default', () => {
    const config = parseSidecarConfig(minimal, '/etc/sidekey/sidecar.yaml');
    expect(config.listen).to.deep.equal([
      { address: { kind: 'unix', path: '/etc/sidekey/s.sock' }, mode: 0o600, allow: [] },
    ]);
    expect(config.identities).to.deep.equal([
      {
        kind: 'files',
        name: 'web',
        certificate: '/etc/sidekey/web.pem',
        privateKey: '/etc/sidekey/web.key',
        isDefault: false,
      },
    ]);
    expect(config.trustBundle).to.equal('/etc/sidekey/roots.pem');
    expect(config.tls).to.deep.include({
      clientAuth: 'require',
      handshakeTimeoutMs: 10_000,
      firstMessageTimeoutMs: 5000,
      idleTimeoutMs: 3000,
      requireExtendedMasterSecret: false,
      requireRenegotiationInfo: true,
      unknownServerName: 'default',
      sessionTickets: true,
      ticketLifetimeSeconds: 3600,
      namedGroups: [23, 29, 24],
    });
    expect(config.tls.cipherSuites).to.have.length(6);
    expect(config.limits).to.deep.include({ handshakes: 512, queue: 1024, callerShare: 0.25 });
    expect(config.admin).to.equal(undefined);
    expect(config.reflection).to.equal(false);
  });

  it('reads what is set', () => {
    const config = parseSidecarConfig(
      `listen:
  - address: unix:///run/sidekey/s.sock
    mode: "0660"
    group: 1000
    allow:
      - { uid: 1000, identities: [web] }
      - { tokenFile: ./web.token, identities: [web], enroll: true, pinnedPeers: true }
  - address: "[::1]:9000"
    allow: [{ tokenFile: web.token, identities: [web] }]
identities:
  web: { certificate: web.pem, privateKey: web.key, default: true }
trust: { bundle: roots.pem }
tls:
  handshakeTimeout: 500ms
  ticketLifetime: 10m
  cipherSuites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]
  namedGroups: [x25519]
`,
      '/etc/sidekey/sidecar.yaml',
    );
    expect(config.listen[0]).to.deep.equal({
      address: { kind: 'unix', path: '/run/sidekey/s.sock' },
      mode: 0o660,
      group: 1000,
      allow: [
        { uid: 1000, identities: ['web'], enroll: false, renew: false, pinnedPeers: false },
        {
          tokenFile: '/etc/sidekey/web.token',
          identities: ['web'],
          enroll: true,
          renew: false,
          pinnedPeers: true,
        },
      ],
    });
    expect(config.listen[1]?.address).to.deep.equal({ kind: 'tcp', host: '::1', port: 9000 });
    expect(config.tls.handshakeTimeoutMs).to.equal(500);
    expect(config.tls.ticketLifetimeSeconds).to.equal(600);
    expect(config.tls.cipherSuites.map(({ code }) => code)).to.deep.equal([0xc030, 0xc02b]);
    expect(config.tls.namedGroups).to.deep.equal([29]);
  });

  for (const [name, text] of [
    ['brackets', `state:\n  ${'['.repeat(50_000)}`],
    ['braces', `state:\n  ${'{a: '.repeat(50_000)}`],
    ['a line of keys', `state: s\nlog: ${'a: '.repeat(50_000)}[b]\n      - { c: 1 }\n`],
    ['a line of dashes', `state:\n  ${'- '.repeat(50_000)}`],
    ['a line of question marks', `state:\n  ${'? '.repeat(50_000)}`],
    ['indentation', `state:\n${' '.repeat(50_000)}a: b`],
  ] as const) {
    it(`refuses to nest by ${name} as deep as it is long`, () => {
      expect(problemsOf(text)).to.deep.equal(['/etc/sidekey/sidecar.yaml:2: is nested too deep']);
    });
  }

  it('names every problem with its line', () => {
    const problems = problemsOf(`listen:
  - address: sidecar.sock
    mode: 0660
    alow: []
identities:
  web:
    certificate: web.pem
trust: { bundle: roots.pem }
tls:
  minVersion: TLSv1.3
  handshakeTimeout: 10
  cipherSuites: [TLS_RSA_WITH_NULL_MD5]
limits: { handshakes: 0 }
extra: 1
`);
    const places = problems.map((problem) => problem.split(': ').slice(0, 2).join(': '));
    expect(places).to.have.members([
      '/etc/sidekey/sidecar.yaml:2: listen[0].address',
      '/etc/sidekey/sidecar.yaml:3: listen[0].mode',
      '/etc/sidekey/sidecar.yaml:4: listen[0]',
      '/etc/sidekey/sidecar.yaml:7: identities.web.privateKey',
      '/etc/sidekey/sidecar.yaml:10: tls.minVersion',
      '/etc/sidekey/sidecar.yaml:11: tls.handshakeTimeout',
      '/etc/sidekey/sidecar.yaml:12: tls.cipherSuites[0]',
      '/etc/sidekey/sidecar.yaml:13: limits.handshakes',
      '/etc/sidekey/sidecar.yaml:14: unknown setting "extra"',
    ]);
  });

  const cases = [
    { name: 'text that is not YAML', text: 'a: [', problem: ':1: Flow sequence' },
    { name: 'a setting given twice', text: 'listen: []\nlisten: []', problem: ':2: Map keys' },
    { name: 'an empty file', text: '', problem: 'expected a map of settings' },
    { name: 'a list', text: '- 1', problem: ':1: expected a map of settings' },
    {
      name: 'aliases, which can make a small file large',
      text: `a: &a [1]\nb: *a\n`,
      problem: 'Alias',
    },
    {
      name: 'a listener without address',
      text: minimal.replace('address: unix:./s.sock', 'mode: "0600"'),
      problem: ':2: listen[0].address: Invalid input',
    },
    {
      name: 'an address beyond this host',
      text: minimal.replace('unix:./s.sock', '0.0.0.0:80'),
      problem: ':2: listen[0].address: is not a loopback address',
    },
    {
      name: 'a TCP listener without tokens',
      text: minimal.replace('unix:./s.sock', '127.0.0.1:80'),
      problem: 'a TCP listener cannot see who calls',
    },
    {
      name: 'a uid rule on TCP',
      text: minimal.replace(
        'unix:./s.sock',
        '127.0.0.1:80\n    allow: [{ uid: 1, tokenFile: t, identities: [web] }]',
      ),
      problem: ':3: listen[0].allow[0].uid: cannot be seen over TCP',
    },
    {
      name: 'a rule that lets everybody in',
      text: minimal.replace('s.sock', 's.sock\n    allow: [{ identities: [web] }]'),
      problem: ':3: listen[0].allow[0]: needs a uid',
    },
    {
      name: 'a rule for an identity that is not there',
      text: minimal.replace('s.sock', 's.sock\n    allow: [{ uid: 1, identities: [wbe] }]'),
      problem: ':3: listen[0].allow[0].identities[0]: no identity is called "wbe"',
    },
    {
      name: 'two listeners on one socket',
      text: minimal.replace('s.sock', 's.sock\n  - address: unix:./s.sock'),
      problem: ':3: listen[1].address: is used by another listener',
    },
    {
      name: 'two defaults',
      text: minimal.replace(
        'web.key }',
        'web.key, default: true }\n  b: { certificate: b, privateKey: b, default: true }',
      ),
      problem: ':5: identities.b.default: "web" is the default already',
    },
    {
      name: 'a name no rule could hold',
      text: minimal.replace('web:', '"a b":'),
      problem: ':4: identities.a b: names are letters',
    },
    {
      name: 'no identities',
      text: minimal
        .replace('{ certificate: web.pem, privateKey: web.key }', '')
        .replace('  web:', '  {}'),
      problem: 'identities: must hold at least one identity',
    },
    {
      name: 'metrics for everybody',
      text: `${minimal}admin: { address: "0.0.0.0:9464" }\n`,
      problem: ':6: admin.address: is not a loopback address',
    },
    {
      name: 'tickets that live too long',
      text: `${minimal}tls: { ticketLifetime: 24h }\n`,
      problem: ':6: tls.ticketLifetime: must not be longer than 12h',
    },
  ];
  for (const { name, text, problem } of cases) {
    it(`refuses ${name}`, () => {
      expect(problemsOf(text).join('\n')).to.contain(problem);
    });
  }

  it('lets those who insist listen beyond this host', () => {
    const config = parseSidecarConfig(
      minimal.replace(
        'unix:./s.sock',
        '0.0.0.0:80\n    dangerouslyAllowRemote: true\n    allow: [{ tokenFile: t, identities: [web] }]',
      ) + 'admin: { address: "0.0.0.0:9464", dangerouslyAllowRemote: true }\n',
      'sidecar.yaml',
    );
    expect(config.listen[0]?.address).to.deep.equal({ kind: 'tcp', host: '0.0.0.0', port: 80 });
  });
});

describe('enrolled identities in the configuration', () => {
  const enrolled = minimal
    .replace('{ certificate: web.pem, privateKey: web.key }', '{ enrolled: true }')
    .replace('trust: { bundle: roots.pem }\n', '');

  it('need no trust bundle', () => {
    const config = parseSidecarConfig(enrolled, '/etc/sidekey/sidecar.yaml');
    expect(config.identities).to.deep.equal([
      {
        kind: 'enrolled',
        name: 'web',
        isDefault: false,
        directory: '/etc/sidekey/state/identities/web',
        keyType: 'ecdsa-p256',
        decryptionKeyType: 'ecdsa-p256',
      },
    ]);
    expect(config.trustBundle).to.equal(undefined);
    expect(config.staleTrust).to.deep.equal({ afterMs: 86_400_000, action: 'warn' });
  });

  for (const [name, text, problem] of [
    [
      'files, too',
      enrolled.replace('enrolled: true', 'enrolled: true, certificate: a.pem'),
      ':4: identities.web.certificate: is not for enrolled identities',
    ],
    [
      'settings of enrolled ones on others',
      minimal.replace('web.key', 'web.key, keyType: rsa'),
      ':4: identities.web.keyType: is for enrolled identities',
    ],
    [
      'a trust bundle missing for files',
      minimal.replace('trust: { bundle: roots.pem }\n', ''),
      'trust.bundle: identities from files need to know whom to trust',
    ],
    [
      'no listener',
      enrolled.replace('- address: unix:./s.sock', '[]'),
      'listen: must hold at least one listener',
    ],
  ] as const) {
    it(`have a problem with ${name}`, () => {
      expect(problemsOf(text).join('\n')).to.contain(problem);
    });
  }
});

describe('bootstrap identities in the configuration', () => {
  const bootstrap =
    'listen: [{ address: unix:./s.sock }]\nidentities:\n  host: { enrolled: true }\n' +
    '  first: { selfSigned: true, until: host, trust: ./m.pem, peers: ["spiffe://d/manager/*"] }\n';

  it('are kept in the state directory, and have a trust of their own', () => {
    const config = parseSidecarConfig(bootstrap, '/etc/sidekey/sidecar.yaml');
    expect(config.identities[1]).to.deep.equal({
      kind: 'self-signed',
      name: 'first',
      isDefault: false,
      directory: '/etc/sidekey/state/identities/first',
      until: 'host',
      trust: '/etc/sidekey/m.pem',
      peers: [{ kind: 'below', trustDomain: 'd', parent: '/manager/' }],
    });
    expect(config.trustBundle).to.equal(undefined);
  });

  for (const [name, change, problem] of [
    ['no end', ['until: host, ', ''], ':4: identities.first.until: needed'],
    [
      'the end of nobody',
      ['until: host', 'until: hots'],
      ':4: identities.first.until: no enrolled identity is called "hots"',
    ],
    [
      'an end by themselves',
      ['until: host', 'until: first'],
      'identities.first.until: no enrolled identity is called "first"',
    ],
    ['peers without trust', ['trust: ./m.pem, ', ''], ':4: identities.first.peers: needs trust'],
    ['no peers', ['["spiffe://d/manager/*"]', '[]'], 'identities.first.peers: must hold'],
    [
      'peers of a whole trust domain',
      ['spiffe://d/manager/*', 'spiffe://d/*'],
      'identities.first.peers[0]: must be a SPIFFE ID',
    ],
    [
      'two kinds at once',
      ['selfSigned: true', 'selfSigned: true, enrolled: true'],
      'identities.first.selfSigned: and enrolled exclude each other',
    ],
    [
      'the default',
      ['selfSigned: true', 'selfSigned: true, default: true'],
      'identities.first.default: is not for self-signed identities',
    ],
    [
      'files',
      ['selfSigned: true', 'selfSigned: true, privateKey: a.key'],
      'identities.first.privateKey: is not for self-signed identities',
    ],
    [
      'a kind of key',
      ['selfSigned: true', 'selfSigned: true, keyType: rsa'],
      'identities.first.keyType: is for enrolled identities',
    ],
    [
      'their settings on others',
      ['{ enrolled: true }', '{ enrolled: true, trust: a.pem }'],
      ':3: identities.host.trust: is for self-signed identities',
    ],
  ] as const) {
    it(`have a problem with ${name}`, () => {
      expect(problemsOf(bootstrap.replace(change[0], change[1])).join('\n')).to.contain(problem);
    });
  }
});

describe('the section authority', () => {
  const authority = 'authority:\n  trustDomain: example.org\n  listen: 127.0.0.1:8443\n';

  it('stands alone, with every default filled in', () => {
    const config = parseSidecarConfig(authority, '/etc/sidekey/sidecar.yaml');
    expect(config.listen).to.deep.equal([]);
    expect(config.authority).to.deep.equal({
      trustDomain: 'example.org',
      state: '/etc/sidekey/state/authority',
      store: { kind: 'url', url: 'sqlite:/etc/sidekey/state/authority/store.db' },
      keys: {
        kind: 'disk',
        directory: '/etc/sidekey/state/authority/keys',
        passphraseFile: undefined,
      },
      listen: { kind: 'tcp', host: '127.0.0.1', port: 8443 },
      advertise: [],
      administration: {
        address: { kind: 'unix', path: '/etc/sidekey/authority.sock' },
        mode: 0o600,
      },
      http: undefined,
      enrolment: 'closed',
      expiredGraceMs: 30 * 86_400_000,
      limits: {
        connections: 16_384,
        connectionsPerSource: 4096,
        handshakes: 64,
        handshakesPerSecondPerSource: 200,
        handshakeTimeoutMs: 10_000,
        requests: 4096,
      },
      rotation: { automatic: true, countAgentsSeenWithinMs: undefined },
    });
  });

  it('takes keys on a token and a store elsewhere', () => {
    const { authority: section } = parseSidecarConfig(
      `${authority}  store: { urlFile: ./db.url }
  keys: { kind: pkcs11, module: /usr/lib/p11.so, tokenLabel: ca, pinFile: ./pin }
  http: { address: 127.0.0.1:8080, publicUrl: "http://ca.example.org/" }
  rotation: { automatic: false, countAgentsSeenWithin: 30d }
`,
      '/etc/sidekey/sidecar.yaml',
    );
    expect(section?.store).to.deep.equal({ kind: 'urlFile', path: '/etc/sidekey/db.url' });
    expect(section?.keys).to.include({ kind: 'pkcs11', pinFile: '/etc/sidekey/pin' });
    expect(section?.http?.publicUrl).to.equal('http://ca.example.org');
    expect(section?.rotation.countAgentsSeenWithinMs).to.equal(30 * 86_400_000);
  });

  for (const [name, text, problem] of [
    [
      'a listener nobody reaches',
      authority.replace('127.0.0.1:8443', '0.0.0.0:8443'),
      'authority.advertise: hosts cannot reach 0.0.0.0:8443',
    ],
    [
      'a unix socket for hosts',
      authority.replace('127.0.0.1:8443', 'unix:./a'),
      'authority.listen: hosts come over TCP',
    ],
    [
      'administration over TCP',
      `${authority}  administration: { address: 127.0.0.1:1 }\n`,
      'authority.administration.address: is a unix socket',
    ],
    [
      'a password in a URL',
      `${authority}  store: "postgres://me:secret@db/ca"\n`,
      'authority.store: holds a password',
    ],
    [
      'another kind of store',
      `${authority}  store: mysql://db\n`,
      'authority.store: expected sqlite',
    ],
    ['another kind of keys', `${authority}  keys: { kind: kms }\n`, 'authority.keys'],
    [
      'a trust domain that is none',
      authority.replace('example.org', 'Example Org'),
      'authority.trustDomain: expected a SPIFFE trust domain',
    ],
    [
      'an address without a port',
      `${authority}  advertise: [ca.example.org]\n`,
      'authority.advertise[0]: expected HOST:PORT',
    ],
  ] as const) {
    it(`has a problem with ${name}`, () => {
      const problems = problemsOf(text).join('\n');
      expect(problems).to.contain(problem);
      expect(problems).to.not.contain('secret');
    });
  }
});
