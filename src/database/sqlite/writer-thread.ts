import { parentPort, workerData } from 'node:worker_threads';
import { openForReading, openForWriting } from './database.ts';
import { describeFailure } from './failure.ts';
import { unpackValues } from './packed-values.ts';
import type {
  WriterAnswer,
  WriterAnswers,
  WriterData,
  WriterRequest,
  WriterRequests,
} from './protocol.ts';
import { Statements } from './statements.ts';

// The thread of a connection. Here, and not in the main thread, each commit waits for the disk, and a
// snapshot for its long queries.
if (parentPort === null) throw new Error('not a worker thread');
const port = parentPort;
const { path, readOnly } = workerData as WriterData;
const database = readOnly === true ? openForReading(path) : openForWriting(path);
const statements = new Statements(database);

const answerTo = (request: WriterRequest): WriterAnswer => {
  const { id } = request;
  try {
    switch (request.type) {
      case 'execute':
        return {
          type: 'done',
          id,
          ...statements.run(request.sql, unpackValues(request.parameters)),
        };
      case 'close':
        // Statements keep a closed connection alive until they are collected, and with it the log of
        // changes, which would spoil a backup that is copied in the place of the file.
        if (readOnly !== true) database.exec('pragma wal_checkpoint(truncate)');
        database.close();
        return { type: 'done', id, rows: [] };
    }
  } catch (error) {
    return { type: 'failed', id, failure: describeFailure(error) };
  }
};

port.on('message', (requests: WriterRequests) => {
  port.postMessage(requests.map(answerTo) satisfies WriterAnswers);
  if (requests.some(({ type }) => type === 'close')) port.close();
});
port.postMessage('ready' satisfies WriterAnswers);
