import { z } from 'zod';
import type { HostReport } from '../../gen/sidekey/v1/certificate_authority.ts';

/** What a host said of itself, as the store keeps it: JSON, unknown parts ignored. */
export function writeHostReport(report: HostReport): string {
  return JSON.stringify({
    version: cut(report.version),
    hostTime: report.hostTime?.getTime(),
    listeners: report.listeners.slice(0, maxListeners).map((listener) => ({
      name: cut(listener.name),
      address: cut(listener.address),
      minVersion: cut(listener.minVersion),
      maxVersion: cut(listener.maxVersion),
      source: cut(listener.source),
      cipherSuites: listener.cipherSuites.slice(0, maxSuites).map(cut),
      policyVersion: Number(listener.policyVersion),
      attempts: listener.attempts.slice(0, maxAttempts).map((attempt) => ({
        peer: cut(attempt.peer),
        offered: cut(attempt.offered),
        count: Number(attempt.count),
      })),
    })),
  });
}

/** The reverse of {@link writeHostReport}; `undefined` for what it does not write. */
export function readHostReport(json: string | null): HostReport | undefined {
  if (json === null) return undefined;
  const parsed = reportSchema.safeParse(parseJson(json));
  if (!parsed.success) return undefined;
  const { version, hostTime, listeners } = parsed.data;
  return {
    version,
    hostTime: hostTime === undefined ? undefined : new Date(hostTime),
    listeners: listeners.map((listener) => ({
      ...listener,
      policyVersion: BigInt(listener.policyVersion),
      attempts: listener.attempts.map((attempt) => ({ ...attempt, count: BigInt(attempt.count) })),
    })),
  };
}

function cut(text: string): string {
  return text.slice(0, maxText);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

const count = z.int().nonnegative();
const reportSchema = z.object({
  version: z.string().default(''),
  hostTime: z.number().optional(),
  listeners: z
    .array(
      z.object({
        name: z.string(),
        address: z.string().default(''),
        minVersion: z.string().default(''),
        maxVersion: z.string().default(''),
        source: z.string().default(''),
        cipherSuites: z.array(z.string()).default([]),
        policyVersion: count.default(0),
        attempts: z.array(z.object({ peer: z.string(), offered: z.string(), count })).default([]),
      }),
    )
    .default([]),
});

/** A claim of a host takes no more room than one can look at. */
const maxListeners = 16;
const maxSuites = 32;
const maxAttempts = 64;
const maxText = 128;
