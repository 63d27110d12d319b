export { skip } from '../../support/skip.ts';
