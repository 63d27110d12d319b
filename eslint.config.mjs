import js from '@eslint/js';
import prettier from 'eslint-config-prettier';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

// Who may import whom (doc/architecture.md): a room lists the rooms it may not know.
const rooms = [
  'bytes',
  'crypto',
  'tls',
  'pki',
  'gen',
  'rpc',
  'database',
  'identity',
  'ca',
  'sidecar',
  'offload',
  'apps',
  'cli',
];
const mayImport = {
  bytes: [],
  crypto: ['bytes'],
  tls: ['bytes', 'crypto'],
  pki: ['bytes', 'crypto'],
  rpc: ['gen', 'bytes'],
  database: ['bytes'],
  identity: ['bytes', 'crypto', 'pki', 'gen', 'rpc'],
  ca: ['bytes', 'crypto', 'pki', 'gen', 'rpc', 'database'],
  sidecar: ['bytes', 'crypto', 'tls', 'pki', 'gen', 'rpc'],
  offload: ['bytes', 'crypto', 'tls', 'gen', 'rpc'],
  apps: [
    'bytes',
    'crypto',
    'tls',
    'pki',
    'gen',
    'rpc',
    'database',
    'identity',
    'ca',
    'sidecar',
    'offload',
  ],
};

const jwkExport = {
  selector: "CallExpression[callee.property.name='export'] Property[value.value='jwk']",
  message: 'JWK export of a generated key can freeze Node 20; export DER instead',
};

const roomRules = Object.entries(mayImport).map(([room, allowed]) => ({
  files: [`src/${room}/**`],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: [
          {
            group: rooms
              .filter((other) => other !== room && !allowed.includes(other))
              .flatMap((other) => [`../${other}/**`, `../../${other}/**`, `../../../${other}/**`]),
            message: `${room} may import only: ${allowed.join(', ') || 'nothing'}`,
          },
          ...(room === 'offload'
            ? [
                {
                  group: [
                    '../tls/client/**',
                    '../tls/server/**',
                    '../../tls/client/**',
                    '../../tls/server/**',
                  ],
                  message: 'an application has no handshake engine',
                },
              ]
            : []),
          ...(room === 'tls'
            ? [
                {
                  regex: '^node:(?!crypto$)',
                  message: 'the engine touches no socket, clock, file or process',
                },
              ]
            : []),
        ],
      },
    ],
  },
}));

export default defineConfig(
  globalIgnores(['.stamps/', 'dist/', 'coverage/', 'src/gen/', 'bench/results/']),
  js.configs.recommended,
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/consistent-type-imports': 'error',
      'no-console': 'error',
      'no-restricted-syntax': ['error', jwkExport],
    },
  },
  ...roomRules,
  {
    // An agent answers and never asks: nothing in it can send a request.
    files: ['src/apps/agent/**'],
    rules: {
      'no-restricted-globals': ['error', 'fetch', 'WebSocket', 'EventSource', 'XMLHttpRequest'],
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          paths: [
            ...['node:https', 'https', 'http', 'http2', 'undici'].map((name) => ({
              name,
              message: 'an agent is no HTTP client',
            })),
            {
              name: 'node:http',
              importNames: ['request', 'get', 'Agent', 'globalAgent', 'ClientRequest', 'default'],
              message: 'an agent is no HTTP client',
            },
            {
              name: 'node:http2',
              importNames: ['connect', 'default'],
              message: 'an agent is no HTTP client',
            },
          ],
        },
      ],
    },
  },
  {
    files: ['test/**', 'bench/**'],
    rules: {
      '@typescript-eslint/no-unused-expressions': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-explicit-any': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
    },
  },
  { files: ['**/*.{js,mjs}'], extends: [tseslint.configs.disableTypeChecked] },
  prettier,
);
