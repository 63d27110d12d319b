import { applicationHeap } from './application-heap.ts';
import type { Request } from './endpoint-messages.ts';
import { bulk, handshakes, hold, roundTrips } from './loads.ts';
import { ownMemoryBytes } from './process-cost.ts';
import { startServices } from './services.ts';
import { type Connection, createStack, type StackSettings } from './stacks.ts';

/**
 * One end of the connections measured, in a process of its own: the application. Started by
 * `endpoints.ts`, which sends it one request after the other.
 */
const settings = JSON.parse(process.argv[2] ?? '') as StackSettings;
const stack = await createStack(settings);
await stack.ready();
let held: readonly Connection[] = [];
const heap = applicationHeap();

process.on('message', (request: Request) => {
  answer(request).then(
    (result) => process.send?.({ result }),
    (error: unknown) =>
      process.send?.({ error: error instanceof Error ? error.stack : String(error) }),
  );
});
process.on('disconnect', () => process.exit());
process.send?.({ result: 'ready' });

async function answer(request: Request): Promise<unknown> {
  switch (request.type) {
    case 'listen':
      return await startServices(stack);
    case 'handshakes':
      return await handshakes(stack, request.port, request.kind, request.inFlight, request.seconds);
    case 'bulk':
      return await bulk(stack, request.port, request.writeBytes, request.bytes);
    case 'roundTrips':
      return await roundTrips(stack, request.port, request.bytes, request.seconds);
    case 'hold':
      held = [...held, ...(await hold(stack, request.port, request.count))];
      return held.length;
    case 'memory':
      return await settledMemory();
    case 'heap':
      return heap.length;
  }
}

/** After everything that can be collected has been. */
async function settledMemory(): Promise<number> {
  for (let round = 0; round < 3; round += 1) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return ownMemoryBytes();
}
