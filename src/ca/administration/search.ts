import { type RawBuilder, sql } from 'kysely';
import { ServiceError } from '../../rpc/errors.ts';

/**
 * The condition that a row has all of these properties. `id` is the column of its id.
 *
 * @throws ServiceError `INVALID_ARGUMENT` for more of them than anybody types
 */
export function hasProperties(
  kind: 'agent' | 'token',
  id: string,
  properties: Readonly<Record<string, string>>,
): RawBuilder<boolean> {
  const wanted = Object.entries(properties);
  if (wanted.length > maxConditions) {
    throw new ServiceError(
      'INVALID_ARGUMENT',
      'too_many_conditions',
      `a search takes at most ${String(maxConditions)} properties`,
    );
  }
  const conditions = wanted.map(
    ([name, value]) =>
      sql<boolean>`${sql.ref(id)} in (select subject from property where subject_kind = ${kind} and name = ${name} and value = ${value})`,
  );
  return conditions.length === 0 ? sql<boolean>`1 = 1` : sql.join(conditions, sql` and `);
}

/**
 * A condition out of a fixed set, by the name it has in requests.
 *
 * @throws ServiceError `INVALID_ARGUMENT` that lists the names there are
 */
export function oneOf<Name extends string>(
  what: string,
  text: string,
  names: readonly Name[],
): Name | undefined {
  if (text === '') return undefined;
  const name = names.find((known) => known === text);
  if (name !== undefined) return name;
  throw new ServiceError(
    'INVALID_ARGUMENT',
    `${what}_unknown`,
    `${what} has to be one of ${names.join(', ')}`,
  );
}

const maxConditions = 8;
