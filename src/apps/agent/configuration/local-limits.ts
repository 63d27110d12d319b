import {
  agentConfiguration,
  type AgentConfiguration,
} from '../../fleet/agent-api/configuration.ts';
import { describeIssues } from '../../fleet/http/json-body.ts';
import { isBelow } from '../collectors/watched-paths.ts';

/** A configuration that is authentic, but not acceptable here; the message is for this host's log. */
export class NotAcceptableError extends Error {
  override readonly name = 'NotAcceptableError';
}

/**
 * Reads a configuration, and holds it against what the owner of this host allows: it can narrow that, never widen it.
 * Throws {@link NotAcceptableError}, which quotes nothing of it but names.
 */
export function readConfiguration(
  content: Uint8Array,
  allowedFiles: readonly string[],
): AgentConfiguration {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content));
  } catch {
    // The parser's message would quote it, and there may be secrets in it.
    throw new NotAcceptableError('it is not JSON in UTF-8');
  }
  const parsed = agentConfiguration.safeParse(value);
  if (!parsed.success) throw new NotAcceptableError(describeIssues(parsed.error.issues));
  for (const path of parsed.data.watch.files) {
    if (isBelow(path, allowedFiles)) continue;
    throw new NotAcceptableError(`watch.files: ${path.slice(0, 200)} is not below an allowed path`);
  }
  for (const name of Object.keys(parsed.data.secrets)) {
    if (secretName.test(name)) continue;
    throw new NotAcceptableError('secrets: a name is not letters, digits, dot, dash, underscore');
  }
  return parsed.data;
}

/** Each becomes a file. */
const secretName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/u;
