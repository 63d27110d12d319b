import { isIP } from 'node:net';

/** Where a service listens. */
export type ListenAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/**
 * Reads `unix:PATH`, `unix:///PATH`, `HOST:PORT` or `[IPV6]:PORT`. Listening on a name would make
 * the sidecar depend on a resolver, so HOST is an address or `localhost`. Throws `RangeError`.
 */
export function parseListenAddress(text: string): ListenAddress {
  const path = /^unix:(?:\/\/(?=\/))?(.+)$/su.exec(text)?.[1];
  if (path !== undefined) return { kind: 'unix', path };
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/u.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65535 || (host !== 'localhost' && isIP(host) === 0)) {
    throw new RangeError(`expected unix:PATH or ADDRESS:PORT, got "${text}"`);
  }
  return { kind: 'tcp', host: host === 'localhost' ? '127.0.0.1' : host, port };
}

/** Whether nobody but this host can reach the address. */
export function isLoopback(address: ListenAddress): boolean {
  if (address.kind === 'unix') return true;
  return address.host.startsWith('127.') || address.host === '::1';
}

/** The address in the form gRPC clients and our own `parseListenAddress` take. */
export function formatAddress(address: ListenAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${host}:${String(address.port)}`;
}
