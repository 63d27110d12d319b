import { parentPort, workerData } from 'node:worker_threads';
import { openForReading, openForWriting } from './database.ts';
import { describeFailure } from './failure.ts';
import type { WriterAnswer, WriterData, WriterRequest } from './protocol.ts';
import { Statements } from './statements.ts';

// The thread of a connection. Here, and not in the main thread, each commit waits for the disk, and a
// snapshot for its long queries.
if (parentPort === null) throw new Error('not a worker thread');
const port = parentPort;
const { path, readOnly } = workerData as WriterData;
const database = readOnly === true ? openForReading(path) : openForWriting(path);
const statements = new Statements(database);

const answer = (message: WriterAnswer): void => {
  port.postMessage(message);
};

port.on('message', (request: WriterRequest) => {
  try {
    switch (request.type) {
      case 'execute':
        answer({
          type: 'done',
          id: request.id,
          ...statements.run(request.sql, request.parameters),
        });
        break;
      case 'close':
        // Statements keep a closed connection alive until they are collected, and with it the log of
        // changes, which would spoil a backup that is copied in the place of the file.
        if (readOnly !== true) database.exec('pragma wal_checkpoint(truncate)');
        database.close();
        answer({ type: 'done', id: request.id, rows: [] });
        port.close();
        break;
    }
  } catch (error) {
    answer({ type: 'failed', id: request.id, failure: describeFailure(error) });
  }
});
answer({ type: 'ready' });
