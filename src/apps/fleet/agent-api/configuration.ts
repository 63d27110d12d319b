import { z } from 'zod';

/**
 * What a manager can configure of an agent: JSON, sealed for that agent alone. It can narrow what the agent's own
 * file allows, never widen it.
 */
export const agentConfiguration = z.strictObject({
  /** Absolute paths whose content is watched; each below one the agent's file allows. */
  watch: z
    .strictObject({
      files: z.array(z.string().min(1).max(4096)).max(1024).default([]),
      intervalSeconds: z.int().min(1).max(86_400).default(300),
    })
    .prefault({}),
  /** Operations that may be run; absent: all the agent's file allows. */
  operations: z.array(z.string().max(64)).max(64).optional(),
  /** Told back in status, shown by the manager. */
  labels: z.record(z.string().max(64), z.string().max(256)).default({}),
  /** Kept by the agent for the programs of its host, and never shown again. */
  secrets: z.record(z.string().max(64), z.string().max(4096)).default({}),
});
export type AgentConfiguration = z.infer<typeof agentConfiguration>;
