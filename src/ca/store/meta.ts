import type { Queries } from './transaction.ts';

/** What a store says of itself. */
export interface StoreMeta {
  readonly trustDomain: string;
  /** 8 hex digits: the first 4 bytes of every serial number made under it. Anew after a restore. */
  readonly epoch: string;
  readonly createdAt: Date;
}

/** Reads what {@link StoreMeta} holds. Throws if the store was never initialised. */
export async function readMeta(queries: Queries): Promise<StoreMeta> {
  const rows = await queries.selectFrom('meta').select(['name', 'value']).execute();
  const values = new Map(rows.map(({ name, value }) => [name, value]));
  return {
    trustDomain: required(values, 'trust_domain'),
    epoch: required(values, 'epoch'),
    createdAt: new Date(Number(required(values, 'created_at'))),
  };
}

function required(values: ReadonlyMap<string, string>, name: string): string {
  const value = values.get(name);
  if (value === undefined) throw new Error(`the store has no ${name}`);
  return value;
}
