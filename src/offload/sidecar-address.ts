import { isIP } from 'node:net';

/** Where the sidecar listens, as `net.connect` takes it. */
export type SidecarAddress =
  { readonly path: string } | { readonly host: string; readonly port: number };

/**
 * Reads `unix:/path`, `unix:relative/path`, `unix:///path` or `host:port`. Session keys come over
 * this connection in the clear, so a host has to be this one.
 */
export function parseSidecarAddress(text: string): SidecarAddress {
  const path = /^unix:(?:\/\/(?=\/))?(.+)$/.exec(text)?.[1];
  if (path !== undefined) return { path };
  const parts = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const host = parts?.[1] ?? parts?.[2];
  const port = Number(parts?.[3]);
  if (host === undefined || !(port >= 1 && port <= 65535)) {
    throw new TypeError(`sidecar address "${text}" is neither unix:PATH nor HOST:PORT`);
  }
  if (!isLoopback(host)) {
    throw new TypeError(`sidecar address "${text}" is not on this host`);
  }
  return { host, port };
}

function isLoopback(host: string): boolean {
  if (isIP(host) === 4) return host.startsWith('127.');
  return host === 'localhost' || host === '::1';
}
