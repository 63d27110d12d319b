import { CommitUnknownError, StoreError } from '../../../database/errors.ts';
import { OffloadError } from '../../../offload/index.ts';
import { agentErrors, type AgentErrorCode } from '../../fleet/agent-api/errors.ts';
import { ConfigurationSealError } from '../../fleet/configuration/index.ts';
import { BodyError } from '../../fleet/http/body-error.ts';
import { AdministrationError } from '../admin/index.ts';
import { ConflictError } from '../fleet/conflict-error.ts';
import { FleetFullError } from '../fleet/fleet.ts';
import { KeyReusedError } from '../jobs/idempotency.ts';
import { AgentRefusal, AgentUnreachable, ProtocolViolation } from '../requests/failure.ts';

/** Runs one order; what goes wrong that an administrator can understand becomes an {@link AdministrationError}. */
export async function refusing<T>(order: () => T | Promise<T>): Promise<T> {
  try {
    return await order();
  } catch (error) {
    throw explained(error);
  }
}

function explained(error: unknown): unknown {
  const [code, message] = explanationOf(error) ?? [];
  if (code === undefined || message === undefined) return error;
  return new AdministrationError(code, message.slice(0, 1000), { cause: error });
}

function explanationOf(error: unknown): readonly [AgentErrorCode, string] | undefined {
  if (error instanceof BodyError) return [error.code, error.message];
  if (error instanceof ConflictError) return ['not_in_this_state', error.message];
  if (error instanceof KeyReusedError) return ['idempotency_key_reused', error.message];
  if (error instanceof FleetFullError) return ['too_many_requests', error.message];
  if (error instanceof ConfigurationSealError) return ['malformed_request', error.message];
  if (error instanceof AgentRefusal) {
    const code = isKnown(error.code) ? error.code : 'unavailable';
    return [code, `the agent says: ${error.message}`];
  }
  if (error instanceof AgentUnreachable || error instanceof ProtocolViolation) {
    return ['unavailable', `the agent cannot be asked: ${error.message}`];
  }
  if (error instanceof OffloadError) {
    return ['unavailable', `the agent cannot be reached: ${error.message}`];
  }
  if (error instanceof CommitUnknownError) {
    return ['unavailable', 'it is not known whether this was done: ask again'];
  }
  return error instanceof StoreError ? ['unavailable', error.message] : undefined;
}

function isKnown(code: string): code is AgentErrorCode {
  return Object.hasOwn(agentErrors, code);
}
