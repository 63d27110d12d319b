// Runs TypeScript from source: types are blanked out, so every line and column stays where it is.
// Newer Node does that itself. Preloaded, and not imported, it also works in worker threads.
import { register } from 'node:module';
import process from 'node:process';

if (process.features.typescript !== 'strip') {
  register('./typescript-hooks.mjs', import.meta.url);
}
