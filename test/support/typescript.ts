/** Options for a `node` that is to run TypeScript from source, as the tests do. */
export const typescriptOptions: readonly string[] = [
  '--no-warnings',
  `--import=${new URL('typescript.mjs', import.meta.url).href}`,
];
