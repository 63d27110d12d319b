/** What an agent takes of a manager, and a manager of an agent. Sizes in bytes; inflated sizes count after gzip. */
export const requestLimits = {
  maxWireBytes: 1024 * 1024,
  maxInflatedBytes: 8 * 1024 * 1024,
  maxConcurrent: 8,
  timeoutMs: 30_000,
} as const;

export const responseLimits = {
  maxWireBytes: 4 * 1024 * 1024,
  maxInflatedBytes: 32 * 1024 * 1024,
  maxHeaderBytes: 16 * 1024,
  timeoutMs: 30_000,
} as const;

/** Text compresses to a tenth, now and then to a hundredth; what goes further was made to. */
export const maxInflationRatio = 100;

/** What may come out whatever went in: short texts of one word are no bombs. */
export const freeInflationBytes = 65_536;
