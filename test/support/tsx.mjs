// Runs TypeScript from source, also in worker threads: on Node 20 `--import=tsx` reaches the main
// thread only, while a preload of one's own runs in each.
import { register as registerRequire } from 'tsx/cjs/api';
import { register } from 'tsx/esm/api';

registerRequire();
register();
