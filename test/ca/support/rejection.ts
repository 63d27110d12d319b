/** The error a promise is rejected with. Rejects if it is not. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  let value;
  try {
    value = await promise;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
  throw new Error(`resolved: ${JSON.stringify(value)}`);
}
