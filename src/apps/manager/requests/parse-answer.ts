import type { z } from 'zod';
import { errorBody } from '../../fleet/agent-api/messages.ts';
import { contentTypes } from '../../fleet/agent-api/verbs.ts';
import { BodyError } from '../../fleet/http/body-error.ts';
import { decodeJson } from '../../fleet/http/json-body.ts';
import type { Answer } from './exchange.ts';
import { AgentRefusal, ProtocolViolation } from './failure.ts';

/**
 * What an agent answered, in the shape it has to have. Throws {@link AgentRefusal} for an error by the
 * rules and {@link ProtocolViolation} for everything else.
 */
export function parseAnswer<Schema extends z.ZodType>(
  { status, contentType, body }: Answer,
  schema: Schema,
): z.output<Schema> {
  if (contentType !== contentTypes.json) {
    throw new ProtocolViolation(`answered ${String(status)} with something that is not JSON`);
  }
  requireShallow(body);
  try {
    if (status < 300) return decodeJson(body, schema);
    const { error } = decodeJson(body, errorBody);
    throw new AgentRefusal(status, error.code, plain(error.message));
  } catch (error) {
    if (!(error instanceof BodyError)) throw error;
    throw new ProtocolViolation(`gave an answer that is not understood: ${error.message}`, {
      cause: error,
    });
  }
}

/** Counts brackets outside of strings, since what comes later may be recursive. */
function requireShallow(json: Uint8Array): void {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < json.length; at += 1) {
    const byte = json[at];
    if (inString) {
      if (byte === BACKSLASH) at += 1;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (byte === OPEN_BRACKET || byte === OPEN_BRACE) {
      depth += 1;
      if (depth > maxDepth) throw new ProtocolViolation('answered with JSON nested too deep');
    } else if (byte === CLOSE_BRACKET || byte === CLOSE_BRACE) depth -= 1;
  }
}

/** Fit for a log and a terminal: no control characters. */
function plain(text: string): string {
  return text.replace(/\p{C}/gu, '?');
}

const maxDepth = 32;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
