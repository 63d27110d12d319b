/**
 * Skips a test, or from a hook the tests it is for, and writes the reason beside their names, where
 * every reporter shows it and ours counts it.
 */
export function skip(context: Mocha.Context, why: string): never {
  const runnable = context.test;
  const hook = /^"(before all|before each)" hook/.exec(runnable?.title ?? '')?.[1];
  if (hook === undefined) note(runnable, why);
  else if (hook === 'before all') {
    runnable?.parent?.eachTest((test) => {
      note(test, why);
    });
  } else note(context.currentTest, why);
  return context.skip();
}

/** A test's name with the reason why it does not run. */
export function skippedTitle(title: string, why: string): string {
  return `${title} (skipped: ${why})`;
}

function note(test: Mocha.Runnable | undefined, why: string): void {
  if (test !== undefined && !test.title.endsWith(skippedTitle('', why))) {
    test.title = skippedTitle(test.title, why);
  }
}
