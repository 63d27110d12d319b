import { once } from 'node:events';
import { createOffload } from '../../../src/offload/index.ts';
import { listen, securePair } from './connections.ts';

// Leaves the connection to the sidecar, and streams on it, open: the process has to end all the same.
const offload = createOffload();
const { close } = await securePair(offload);
await close();
const server = offload.createServer({});
await listen(server);
server.close();
await once(server, 'close');
process.stdout.write('done');
