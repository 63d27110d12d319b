/**
 * An application's end of the channel to the demo: answers each request with what `handler`
 * returns, or with `{ error }`.
 */
export function answerRequests(handler: (request: unknown) => Promise<object>): void {
  process.on('message', (request) => {
    handler(request).then(
      (answer) => process.send?.(answer),
      (error: unknown) => process.send?.({ error: describe(error) }),
    );
  });
  // The demo is gone: so is the reason to run.
  process.on('disconnect', () => process.exit());
}

/** What the demo passed on the command line. */
export function settings(): unknown {
  return JSON.parse(process.argv[2] ?? 'null');
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code: unknown = Reflect.get(error, 'code');
  return typeof code === 'string' ? `${error.message} (${code})` : error.message;
}
