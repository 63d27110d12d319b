import { requestLimits } from '../agent-api/limits.ts';

/** Bytes of a sealed configuration: it is the body of a request. */
export const MAX_SEALED_BYTES = requestLimits.maxWireBytes;

/** Bytes of a configuration itself, unless an agent says less. */
export const MAX_INFLATED_BYTES = requestLimits.maxInflatedBytes;

/** How far a manager's clock may be ahead of an agent's. */
export const MAX_CLOCK_SKEW_MS = 5 * 60_000;
