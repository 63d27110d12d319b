import { DatabaseSync } from '@photostructure/sqlite';
import { closeSync, openSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { workerData } from 'node:worker_threads';
import { copiedAtName } from '../bootstrap.ts';
import type { BackupData } from './backup.ts';
import { syncDirectory, syncFile } from '../../../database/sqlite/files.ts';

// A thread of its own for the length of one backup: the copy is one long read.
const { from, to } = workerData as BackupData;
const partial = `${to}.partial`;
rmSync(partial, { force: true });
// SQLite copies into an empty file as well; made here, nobody else can read it from the start.
closeSync(openSync(partial, 'wx', 0o600));

// Not `query_only`, which refuses to write the copy as well.
const source = new DatabaseSync(from, { readOnly: true, timeout: 5000 });
source.prepare('vacuum into ?').run(partial);
source.close();

const copy = new DatabaseSync(partial);
copy.exec('pragma journal_mode = delete');
// The moment the copy stands for is that of its last transaction.
copy
  .prepare(
    `insert into meta (name, value) select ?, cast(value as text) from counter where name = 'clock'`,
  )
  .run(copiedAtName);
copy.close();

syncFile(partial);
renameSync(partial, to);
syncDirectory(dirname(to));
