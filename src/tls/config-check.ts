import type { HandshakeConfig } from './config.ts';
import { checkExporterRequest } from './key-schedule.ts';

/** Throws `RangeError` for a configuration that could only fail later, at the peer's expense. */
export function checkHandshakeConfig(config: HandshakeConfig): void {
  const { cipherSuites, namedGroups, signatureSchemes, applicationProtocols, exporters } = config;
  if (cipherSuites.length === 0) throw new RangeError('no cipher suite is allowed');
  if (namedGroups.length === 0) throw new RangeError('no group is allowed');
  if (signatureSchemes.length === 0) throw new RangeError('no signature scheme is allowed');
  for (const name of applicationProtocols) {
    // One character per byte on the wire, in a vector with a one-byte length (RFC 7301 §3.1).
    const isByte = (character: string): boolean => character.charCodeAt(0) <= 0xff;
    if (name.length < 1 || name.length > 255 || !Array.from(name).every(isByte)) {
      throw new RangeError('an application protocol name is not 1 to 255 bytes');
    }
  }
  for (const request of exporters) checkExporterRequest(request);
}
