import { writeFileSync } from 'node:fs';
import { documentFile, stateMachineDocument } from './document.ts';

/** Writes `doc/state-machine.md`; a changed file is to be reviewed like code. */
writeFileSync(documentFile, stateMachineDocument());
