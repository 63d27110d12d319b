/** Bytes of a sealed configuration, as an agent takes it from the wire. */
export const MAX_SEALED_BYTES = 1024 * 1024;

/** Bytes of a configuration itself, unless an agent says less. */
export const MAX_INFLATED_BYTES = 8 * 1024 * 1024;

/** How far a manager's clock may be ahead of an agent's. */
export const MAX_CLOCK_SKEW_MS = 5 * 60_000;
