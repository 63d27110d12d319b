import { expect } from 'chai';
import { dangerousEnvironment } from '../../../src/apps/sidecar/environment.ts';

describe('dangerousEnvironment', () => {
  const cases: {
    name: string;
    environment?: Record<string, string>;
    nodeOptions?: string[];
    found: string[];
  }[] = [
    { name: 'an ordinary environment', environment: { PATH: '/bin', HOME: '/' }, found: [] },
    {
      name: 'harmless options',
      environment: { NODE_OPTIONS: '--max-old-space-size=512 --secure-heap=65536' },
      nodeOptions: ['--import', './any.mjs', '--secure-heap=65536'],
      found: [],
    },
    { name: 'a variable that is set but empty', environment: { SSLKEYLOGFILE: '' }, found: [] },
    ...[
      'NODE_EXTRA_CA_CERTS',
      'NODE_TLS_REJECT_UNAUTHORIZED',
      'SSLKEYLOGFILE',
      'GRPC_TRACE',
      'LD_PRELOAD',
    ].map((variable) => ({ name: variable, environment: { [variable]: '0' }, found: [variable] })),
    ...[
      '--inspect',
      '--inspect-brk=0',
      '--inspect-port=1',
      '--tls-keylog=/f',
      '--heapsnapshot-signal=SIGUSR2',
      '--report-on-fatalerror',
      '--heap-prof',
      '--cpu-prof',
    ].map((option) => ({
      name: `node ${option}`,
      nodeOptions: [option],
      found: [option.split('=')[0]!],
    })),
    ...[
      '--require /x.js',
      '-r /x.js',
      '--import=/x.js',
      '--loader /x.js',
      '--inspect',
      '"--inspect=0.0.0.0"',
    ].map((text) => ({
      name: `NODE_OPTIONS=${text}`,
      environment: { NODE_OPTIONS: text },
      found: ['NODE_OPTIONS'],
    })),
    {
      name: 'everything at once',
      environment: { NODE_OPTIONS: '--inspect --require /x', SSLKEYLOGFILE: '/f' },
      nodeOptions: ['--tls-keylog=/g'],
      found: ['SSLKEYLOGFILE', 'NODE_OPTIONS', 'NODE_OPTIONS', '--tls-keylog'],
    },
  ];
  for (const { name, environment = {}, nodeOptions = [], found } of cases) {
    it(`${found.length === 0 ? 'accepts' : 'names'} ${name}`, () => {
      const dangers = dangerousEnvironment({ environment, nodeOptions });
      expect(dangers).to.have.length(found.length);
      for (const [index, part] of found.entries()) expect(dangers[index]).to.contain(part);
    });
  }
});
