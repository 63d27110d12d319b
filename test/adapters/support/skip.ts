/** Skips what runs in `context`, and prints why. */
export function skip(context: Mocha.Context, why: string): never {
  process.stdout.write(`      skipped: ${why}\n`);
  return context.skip();
}
