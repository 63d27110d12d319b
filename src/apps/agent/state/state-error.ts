/** Something in the state directory is not what it should be; the message names it and says what to do. */
export class StateError extends Error {
  override readonly name = 'StateError';
}
