/** What was asked for cannot be done as things are. The message is for the administrator. */
export class ConflictError extends Error {
  override readonly name = 'ConflictError';
}
