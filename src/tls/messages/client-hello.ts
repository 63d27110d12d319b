import { Writer } from '../../bytes/writer.ts';
import { TlsAlertError } from '../alert.ts';
import type { ClientExtensions } from '../extensions/client-extensions.ts';
import { clientExtensions, noClientExtensions } from '../extensions/client-extensions.ts';
import { encodeExtensions, parseExtensions } from '../extensions/extension-table.ts';
import { codes, nonEmpty, parsing } from './parsing.ts';

/** What a client says first, {@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.2 | RFC 5246 §7.4.1.2}. */
export interface ClientHello {
  /** The version field; `extensions.supportedVersions` overrules it when present. */
  readonly legacyVersion: number;
  /** 32 bytes. */
  readonly random: Uint8Array;
  /** At most 32 bytes. */
  readonly sessionId: Uint8Array;
  /** As offered, signalling values and unknown ones (GREASE, RFC 8701) included; not empty. */
  readonly cipherSuites: readonly number[];
  /** Contains 0. */
  readonly compressionMethods: readonly number[];
  readonly extensions: ClientExtensions;
}

/** A {@link ClientHello} as it came. Byte fields are views of the body. */
export interface ReceivedClientHello extends ClientHello {
  /** Whether there was an extension block at all, maybe an empty one. */
  readonly extensionsPresent: boolean;
  /** Types of all extensions in order of appearance, unknown ones included; no duplicates. */
  readonly extensionTypes: readonly number[];
}

// struct {
//   ProtocolVersion client_version;
//   Random random;                              opaque [32]
//   SessionID session_id;                       opaque <0..32>
//   CipherSuite cipher_suites<2..2^16-2>;
//   CompressionMethod compression_methods<1..2^8-1>;
//   select (extensions_present) {
//     case false: struct {};
//     case true: Extension extensions<0..2^16-1>;
//   };
// } ClientHello;

/**
 * Throws `decode_error`; `illegal_parameter` without the null compression method or over our
 * limits; and what the extensions of {@link clientExtensions} throw.
 */
export function parseClientHello(body: Uint8Array): ReceivedClientHello {
  return parsing('ClientHello', body, (reader) => {
    const legacyVersion = reader.u16();
    const random = reader.take(32);
    const sessionId = reader.vec8().rest();
    if (sessionId.length > 32) {
      throw new TlsAlertError('decode_error', 'ClientHello: session_id too long');
    }
    const cipherSuites = codes('ClientHello: cipher suites', reader.vec16());
    if (cipherSuites.length > maxCipherSuites) {
      throw new TlsAlertError('illegal_parameter', 'ClientHello: too many cipher suites');
    }
    const compressionMethods = [...nonEmpty('ClientHello: compression methods', reader.vec8())];
    if (!compressionMethods.includes(0)) {
      throw new TlsAlertError('illegal_parameter', 'ClientHello: no null compression method');
    }
    const hello = { legacyVersion, random, sessionId, cipherSuites, compressionMethods };
    return {
      ...hello,
      ...parseExtensions('ClientHello', reader, clientExtensions, noClientExtensions),
    };
  });
}

/** Throws `RangeError` for what does not fit its field. */
export function encodeClientHello(hello: ClientHello): Uint8Array {
  const writer = new Writer();
  writer.u16(hello.legacyVersion).bytes(hello.random).vec8(hello.sessionId);
  writer.vec16(() => {
    for (const code of hello.cipherSuites) writer.u16(code);
  });
  writer.vec8(Uint8Array.from(hello.compressionMethods));
  encodeExtensions(writer, clientExtensions, hello.extensions);
  return writer.finish();
}

/** Above any real list (Chrome: 16, OpenSSL's widest: 170); selection is linear in it. */
const maxCipherSuites = 256;
