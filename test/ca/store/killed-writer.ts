import { pino } from 'pino';
import { openStore } from '../../../src/ca/store/open.ts';

// Writes for as long as it lives, and says of each change that it is durable.
const store = await openStore({
  url: process.argv[2] ?? '',
  now: () => new Date(),
  log: pino({ level: 'silent' }),
});
for (let index = 0; ; index += 1) {
  const subject = String(index);
  await store.transact((transaction) => {
    transaction.audit({ actor: 'test', action: 'test', subject, outcome: 'done' });
    return Promise.resolve();
  });
  process.send?.(subject);
}
