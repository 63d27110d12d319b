import { z } from 'zod';
import { parseListenAddress } from '../rpc/address.ts';

/** Kinds of values settings have. */

/** Text such as `10s`; read as milliseconds. */
export const duration = z
  .string('expected a duration such as 10s')
  .regex(/^\d{1,9}(?:ms|s|m|h|d)$/u, 'expected a duration such as 500ms, 10s, 5m, 1h or 7d')
  .transform((text) => {
    const unit = text.replace(/^\d+/u, '');
    return Number.parseInt(text, 10) * (millisecondsOf.get(unit) ?? 1);
  })
  .refine((milliseconds) => milliseconds > 0, 'must be longer than nothing');

const millisecondsOf = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/** A duration that is not longer than `text` says. */
export function shortDuration(maxMs: number, text: string): typeof duration {
  return duration.refine(
    (milliseconds) => milliseconds <= maxMs,
    `must not be longer than ${text}`,
  );
}

export const path = z.string().min(1, 'must not be empty');
export const numericId = z.int().min(0).max(0xffff_fffe);
export const count = (most: number): z.ZodInt => z.int().min(1).max(most);

export const address = z.string().check((context) => {
  try {
    parseListenAddress(context.value);
  } catch (error) {
    context.issues.push({
      code: 'custom',
      message: error instanceof Error ? error.message : String(error),
      input: context.value,
    });
  }
});

/** Of a unix socket. */
export const permissions = z
  .string('expected permission bits as text, such as "0660"')
  .regex(/^0?[0-7]{3}$/u, 'expected permission bits such as "0660"');
