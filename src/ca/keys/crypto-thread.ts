import type { KeyObject } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import type { CryptoAnswers, CryptoMessage } from './crypto-protocol.ts';
import { runTask } from './crypto-task.ts';

// A thread of `CryptoPool`: does what it is told, in order.
const keys = new Map<number, KeyObject>();

parentPort?.on('message', (message: CryptoMessage) => {
  switch (message.type) {
    case 'key':
      keys.set(message.number, message.key);
      return;
    case 'forget':
      keys.delete(message.number);
      return;
    case 'work':
      parentPort?.postMessage({
        id: message.id,
        answers: message.tasks.map((task) => runTask(task, keys)),
      } satisfies CryptoAnswers);
  }
});
