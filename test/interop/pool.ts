/** Runs tasks, at most `parallel` at a time, and answers their results in the order given. */
export async function inParallel<T>(
  parallel: number,
  tasks: readonly (() => Promise<T>)[],
): Promise<readonly T[]> {
  const results = new Array<T>(tasks.length);
  const waiting = tasks.entries();
  const work = async (): Promise<void> => {
    for (const [index, task] of waiting) results[index] = await task();
  };
  await Promise.all(Array.from({ length: parallel }, work));
  return results;
}
