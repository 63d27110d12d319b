import { printable } from './terminal.ts';

/**
 * One line about an error: its message, then the facts by which it can be looked up (code, alert,
 * handshake id in the sidecar's log). No stack: these are errors of the world, not of the program.
 */
export function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return printable(String(error));
  const facts = [
    fact('code', error),
    fact('alert', error),
    fact('reason', error),
    fact('phase', error),
    fact('handshakeId', error, 'handshake'),
  ].filter((text) => text !== undefined);
  const message = error.message === '' ? error.name : error.message;
  return printable(facts.length === 0 ? message : `${message} (${facts.join(', ')})`);
}

function fact(property: string, error: Error, label = property): string | undefined {
  const value: unknown = Reflect.get(error, property);
  return typeof value === 'string' && value !== '' ? `${label} ${value}` : undefined;
}
