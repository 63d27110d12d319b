import type { Migration } from '../../../../database/migration.ts';

/** Events are kept under numbers of the manager's own: it counts how many it has stored of each agent. */
export const eventsStored: Migration = {
  number: 2,
  name: 'events-stored',
  statements: [
    `alter table agent add column events_stored bigint not null default 0`,
    `update agent set events_stored =
      (select coalesce(max(event.seq), 0) from event where event.agent = agent.no)`,
  ],
  guards: [],
};
