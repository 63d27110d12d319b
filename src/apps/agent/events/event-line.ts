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

/** What a file of events holds. */
export interface DecodedLines {
  /** Those at its beginning that are whole and follow each other. */
  readonly events: readonly AgentEvent[];
  /** Where each of them ends. */
  readonly ends: readonly number[];
  /** The highest number of whole ones behind what is damaged; 0: there are none, as after a write that was cut short. */
  readonly beyond: number;
}

/** Reads events numbered from `first`. */
export function decodeEventLines(bytes: Buffer, first: number): DecodedLines {
  const events: AgentEvent[] = [];
  const ends: number[] = [];
  let beyond = 0;
  let isWhole = true;
  for (let at = 0; ;) {
    const end = bytes.indexOf(lineFeed, at);
    if (end < 0) break;
    const one = decodeLine(bytes.toString('utf8', at, end));
    at = end + 1;
    isWhole &&= one?.seq === first + events.length;
    if (one === undefined) continue;
    if (isWhole) {
      events.push(one);
      ends.push(at);
    } else beyond = Math.max(beyond, one.seq);
  }
  return { events, ends, beyond };
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
