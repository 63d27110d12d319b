import { InvalidArgumentError } from 'commander';
import { parseSpiffeId } from '../../pki/spiffe-id.ts';

/** How an agent is named on a command line. */
export type AgentName =
  | { readonly kind: 'id'; readonly id: Buffer }
  | { readonly kind: 'spiffe'; readonly spiffeId: string };

/** Reads a UUID, 32 hexadecimal digits, or a SPIFFE ID. */
export function parseAgentName(text: string): AgentName {
  if (text.startsWith('spiffe://')) {
    if (parseSpiffeId(text) === undefined) throw new InvalidArgumentError('not a SPIFFE ID');
    return { kind: 'spiffe', spiffeId: text };
  }
  return { kind: 'id', id: parseId(text) };
}

/** Reads an id of 16 bytes: 32 hexadecimal digits, or the same as a UUID. */
export function parseId(text: string): Buffer {
  const digits = text.replace(
    /^([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-/iu,
    '$1$2$3$4',
  );
  if (!/^[0-9a-f]{32}$/iu.test(digits)) {
    throw new InvalidArgumentError('expected 32 hexadecimal digits, or a UUID');
  }
  return Buffer.from(digits, 'hex');
}

/** Reads a serial number as people copy it: hexadecimal, with or without colons. */
export function parseSerial(text: string): Buffer {
  const digits = text.replaceAll(':', '');
  if (!/^(?:[0-9a-f]{2}){1,20}$/iu.test(digits)) {
    throw new InvalidArgumentError('expected a serial number in hexadecimal digits');
  }
  return Buffer.from(digits, 'hex');
}

/** Reads `NAME=VALUE` pairs, collecting them; a name may stand once. */
export function collectProperty(
  text: string,
  earlier: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> {
  const [, name, value] = /^([a-z0-9][a-z0-9._-]{0,63})=(.*)$/su.exec(text) ?? [];
  if (name === undefined || value === undefined) {
    throw new InvalidArgumentError('expected NAME=VALUE; names are of a-z 0-9 . _ -');
  }
  if (earlier !== undefined && Object.hasOwn(earlier, name)) {
    throw new InvalidArgumentError(`${name} is given twice`);
  }
  return { ...earlier, [name]: value };
}

/** Reads a lifetime such as `90s`, `30m`, `24h` or `7d` into whole seconds. */
export function parseLifetime(text: string): number {
  const [, amount, unit] = /^(\d{1,6})([smhd])$/u.exec(text) ?? [];
  const seconds = Number(amount) * secondsOf(unit);
  if (!(seconds > 0)) throw new InvalidArgumentError('expected a time such as 30m, 24h or 7d');
  return seconds;
}

/** An agent's id as a UUID (RFC 9562 §4). */
export function formatUuid(id: Uint8Array): string {
  return Buffer.from(id)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/u, '$1-$2-$3-$4-$5');
}

export function formatHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function secondsOf(unit: string | undefined): number {
  switch (unit) {
    case 's':
      return 1;
    case 'm':
      return 60;
    case 'h':
      return 3600;
    case 'd':
      return 86_400;
    default:
      return Number.NaN;
  }
}
