import { isIPv6 } from 'node:net';
import { InvalidArgumentError } from 'commander';

/** A TCP address as typed: `HOST:PORT`, `[2001:db8::1]:443`. */
export interface Endpoint {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

/**
 * Reads `HOST:PORT`; port 0 is taken where `allowZero` says so (listening on any free port).
 *
 * @throws InvalidArgumentError with a sentence for the person who typed it
 */
export function parseEndpoint(text: string, allowZero = false): Endpoint {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined) throw new InvalidArgumentError('expected HOST:PORT or [IPV6]:PORT');
  if (match?.[1] !== undefined && !isIPv6(host)) {
    throw new InvalidArgumentError('only an IPv6 address stands in brackets');
  }
  if (port > 65535 || (port === 0 && !allowZero)) {
    throw new InvalidArgumentError(`port ${String(port)} is out of range`);
  }
  return { host, port };
}

/** The reverse of `parseEndpoint`. */
export function formatEndpoint(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${String(port)}` : `${host}:${String(port)}`;
}

/** Reads an address to listen on; port 0 asks for a free one. */
export function parseListenEndpoint(text: string): Endpoint {
  return parseEndpoint(text, true);
}

/** Reads an address to connect to. Wrapped, as commander passes a second argument. */
export function parseTargetEndpoint(text: string): Endpoint {
  return parseEndpoint(text);
}

/** Reads `a,b,c`; names may not be empty nor longer than ALPN can carry (RFC 7301 §3.1). */
export function parseProtocolList(text: string): readonly string[] {
  const names = text.split(',').map((name) => name.trim());
  for (const name of names) {
    const bytes = Buffer.byteLength(name, 'latin1');
    if (bytes === 0 || bytes > 255) {
      throw new InvalidArgumentError('expected protocol names of 1 to 255 bytes, comma-separated');
    }
  }
  return names;
}

/** Reads a whole number from 1 to `max`. */
export function parseCount(max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : NaN;
    if (!(value >= 1 && value <= max)) {
      throw new InvalidArgumentError(`expected a whole number from 1 to ${String(max)}`);
    }
    return value;
  };
}

/** Reads `250ms`, `10s`, `2m` or `never` (`undefined`) into milliseconds. */
export function parseDuration(text: string): number | undefined {
  if (text === 'never') return undefined;
  const match = /^(\d{1,6})(ms|s|m)$/.exec(text);
  if (match === null)
    throw new InvalidArgumentError('expected a time such as 500ms, 10s, or never');
  return Number(match[1]) * (match[2] === 'm' ? 60_000 : match[2] === 's' ? 1000 : 1);
}

/** Collects an option that may be given more than once. */
export function collect(text: string, earlier: readonly string[] | undefined): readonly string[] {
  return [...(earlier ?? []), text];
}
