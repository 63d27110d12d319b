/** One step of the schema, forward only. Never edited once released: its checksum is kept. */
export interface Migration {
  readonly number: number;
  readonly name: string;
  /** DDL that SQLite and PostgreSQL both take. */
  readonly statements: readonly string[];
  readonly guards: readonly Guard[];
}

/** A change of rows the database itself refuses, whatever a program asks. */
export interface Guard {
  readonly table: string;
  readonly name: string;
  readonly event: 'update' | 'delete';
  /** On `old` and `new`; absent: always. */
  readonly when?: string;
  readonly message: string;
}

/** What a migration comes down to on SQLite. */
export function sqliteStatements(migration: Migration): readonly string[] {
  return [
    ...migration.statements,
    ...migration.guards.map(
      ({ table, name, event, when, message }) =>
        `create trigger ${table}_${name} before ${event} on ${table} for each row` +
        `${when === undefined ? '' : ` when ${when}`} begin select raise(abort, '${message}'); end`,
    ),
  ];
}

/** What a migration comes down to on PostgreSQL. */
export function postgresStatements(migration: Migration): readonly string[] {
  return [
    ...(migration.number === 1 ? [postgresBlob, postgresRefusal] : []),
    ...migration.statements,
    ...migration.guards.map(
      ({ table, name, event, when, message }) =>
        `create trigger ${table}_${name} before ${event} on ${table} for each row` +
        `${when === undefined ? '' : ` when (${when})`} execute function refuse_change('${message}')`,
    ),
  ];
}

const postgresBlob = 'create domain blob as bytea';

const postgresRefusal = `create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '%', tg_argv[0] using errcode = 'integrity_constraint_violation';
end
$$`;
