import { readFileSync } from 'node:fs';
import { parseCertificatePem } from '../../src/pki/index.ts';
import type { HandshakeResult } from '../../src/tls/config.ts';
import { ShimError } from './connection.ts';
import { LEGACY_CREDENTIAL } from './credentials.ts';
import { fingerprint, type ShimMemory } from './engine-session.ts';
import type { ShimFlags } from './flags.ts';

/** Throws when the handshake's outcome is not what the runner's `-expect-…` flags say. */
export function checkExpectations(
  flags: ShimFlags,
  result: HandshakeResult,
  connection: { readonly signedWith: string | undefined },
  number: number,
  memory: ShimMemory,
): void {
  const { booleans, numbers, strings } = flags;
  const expect = (what: string, expected: Value, actual: Value): void => {
    if (expected !== undefined && expected !== actual) {
      const message = `${what}: expected ${String(expected)}, got ${String(actual)}`;
      throw new ShimError('EXPECTATION', message);
    }
  };
  expect('resumed', number > 0 && !booleans.has('expect-session-miss'), result.resumed);
  expect('server name', strings.get('expect-server-name'), result.serverName);
  expect('ALPN', strings.get('expect-alpn'), result.applicationProtocol ?? '');
  // What was agreed on in the full handshake is not said again on resumption.
  if (!result.resumed) expectFullHandshake(flags, result, expect);
  if (booleans.has('expect-extended-master-secret')) {
    expect('extended master secret', true, result.extendedMasterSecret);
  }
  if (booleans.has('expect-ticket-renewal') && number > 0) {
    expect('new ticket', true, result.session !== undefined && result.session !== memory.session);
  }
  const selected = numbers.get('expect-selected-credential');
  if (selected !== undefined) {
    expect('credential', selected, Number(connection.signedWith ?? LEGACY_CREDENTIAL));
  }
  const peerFile = strings.get('expect-peer-cert-file');
  if (peerFile !== undefined) {
    const wanted = parseCertificatePem(readFileSync(peerFile)).map(fingerprint).join();
    expect('peer certificates', wanted, result.peerCertificates.map(fingerprint).join());
  }
}

function expectFullHandshake(
  { numbers }: ShimFlags,
  { namedGroup, peerSignatureScheme }: HandshakeResult,
  expect: (what: string, expected: Value, actual: Value) => void,
): void {
  expect('group', numbers.get('expect-curve-id'), namedGroup);
  const scheme = numbers.get('expect-peer-signature-algorithm');
  expect('peer signature scheme', scheme, peerSignatureScheme);
}

type Value = string | number | boolean | undefined;
