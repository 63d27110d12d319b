import { crc32 } from 'node:zlib';
import { type AgentEvent, event } from '../../fleet/agent-api/messages.ts';

/*
 * An event on disk is one line: CRC-32 of the rest in 8 hexadecimal digits, a space, JSON, LF. JSON has
 * no raw line feed, so that a line cut short, or pages that never reached the disk, are told from whole ones.
 */

export function encodeEventLine(one: AgentEvent): Buffer {
  const json = JSON.stringify(one);
  return Buffer.from(`${checksum(json)} ${json}\n`);
}

/** The events at the beginning of `bytes` that are whole and follow each other from `first`, and where each ends. */
export function decodeEventLines(
  bytes: Buffer,
  first: number,
): { readonly events: readonly AgentEvent[]; readonly ends: readonly number[] } {
  const events: AgentEvent[] = [];
  const ends: number[] = [];
  for (let at = 0; ;) {
    const end = bytes.indexOf(lineFeed, at);
    if (end < 0) break;
    const one = decodeLine(bytes.toString('utf8', at, end));
    if (one?.seq !== first + events.length) break;
    events.push(one);
    at = end + 1;
    ends.push(at);
  }
  return { events, ends };
}

function decodeLine(line: string): AgentEvent | undefined {
  const json = line.slice(9);
  if (line[8] !== ' ' || line.slice(0, 8) !== checksum(json)) return undefined;
  try {
    const parsed = event.safeParse(JSON.parse(json));
    return parsed.success ? parsed.data : undefined;
  } catch {
    // Not ours, though its checksum fits: as good as damaged.
    return undefined;
  }
}

function checksum(json: string): string {
  return crc32(json).toString(16).padStart(8, '0');
}

const lineFeed = 0x0a;
