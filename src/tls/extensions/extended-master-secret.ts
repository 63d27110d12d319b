import { emptyExtension } from './empty-extension.ts';

/** Empty in both hellos, {@link https://www.rfc-editor.org/rfc/rfc7627#section-5.1 | RFC 7627 §5.1}. */
export const extendedMasterSecret = emptyExtension;
