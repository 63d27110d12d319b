import type { HandshakeView } from './peer.ts';

/** The body with which the servers of this harness tell what they think of a handshake. */
export function writeViewLines(view: HandshakeView): string {
  return Object.entries(view)
    .map(([field, value]) => `${field}: ${String(value)}\n`)
    .join('');
}

/** Reads such a body, with whatever stands around it. Fails if there is none. */
export function readViewLines(text: string): HandshakeView {
  const field = (name: string): string | undefined =>
    new RegExp(`^${name}: (.*?)\\r?$`, 'm').exec(text)?.[1];
  const version = field('version');
  const suite = field('suite');
  const resumed = field('resumed');
  if (version === undefined || suite === undefined || resumed === undefined) {
    throw new Error(`no handshake described in the answer: ${text.slice(0, 300)}`);
  }
  const alpn = field('alpn');
  const group = field('group');
  const serverName = field('serverName');
  const peer = field('peer');
  return {
    version,
    suite,
    resumed: resumed === 'true',
    ...(alpn === undefined ? {} : { alpn }),
    ...(group === undefined ? {} : { group }),
    ...(serverName === undefined ? {} : { serverName }),
    ...(peer === undefined ? {} : { peer }),
  };
}
