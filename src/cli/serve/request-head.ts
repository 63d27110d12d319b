/** Longest request head taken; a browser's is below 2 KiB. */
export const maxRequestHeadBytes = 16 * 1024;

/** What a status page needs of a request (RFC 9112 §3). */
export interface RequestHead {
  readonly method: string;
  readonly target: string;
}

/** What has come of the bytes so far. */
export type RequestProgress =
  | { readonly state: 'incomplete' }
  | { readonly state: 'complete'; readonly head: RequestHead }
  | { readonly state: 'refused'; readonly status: 400 | 431 };

/**
 * Gathers a request up to its blank line, which may come in any pieces. Lines end in CR LF or, from
 * a person who types into a TLS client, in LF alone.
 */
export class RequestHeadReader {
  #bytes = Buffer.alloc(0);

  push(chunk: Uint8Array): RequestProgress {
    const room = maxRequestHeadBytes - this.#bytes.length;
    this.#bytes = Buffer.concat([this.#bytes, chunk.subarray(0, room)]);
    const end = blankLineAt(this.#bytes);
    if (end !== undefined) return parseHead(this.#bytes.subarray(0, end));
    return chunk.length < room ? { state: 'incomplete' } : { state: 'refused', status: 431 };
  }
}

/** Where the first line ends behind which nothing but a blank line follows. */
function blankLineAt(bytes: Buffer): number | undefined {
  for (let at = bytes.indexOf(lf); at >= 0; at = bytes.indexOf(lf, at + 1)) {
    if (bytes[at + 1] === lf || (bytes[at + 1] === cr && bytes[at + 2] === lf)) return at;
  }
  return undefined;
}

function parseHead(bytes: Buffer): RequestProgress {
  const lineEnd = bytes.indexOf(lf);
  const line = bytes.toString('latin1', 0, lineEnd < 0 ? bytes.length : lineEnd).trimEnd();
  const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+)(?: HTTP\/1\.[01])?$/.exec(line);
  const [, method, target] = match ?? [];
  if (method === undefined || target === undefined) return { state: 'refused', status: 400 };
  return { state: 'complete', head: { method, target } };
}

const cr = 0x0d;
const lf = 0x0a;
