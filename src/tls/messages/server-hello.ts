import { Writer } from '../../bytes/writer.ts';
import { TlsAlertError } from '../alert.ts';
import { encodeExtensions, parseExtensions } from '../extensions/extension-table.ts';
import type { ServerExtensions } from '../extensions/server-extensions.ts';
import { serverExtensions, noServerExtensions } from '../extensions/server-extensions.ts';
import { parsing } from './parsing.ts';

/** What a server chose, {@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.3 | RFC 5246 §7.4.1.3}. */
export interface ServerHello {
  /** The version field; `extensions.supportedVersion` overrules it when present. */
  readonly legacyVersion: number;
  /** 32 bytes. */
  readonly random: Uint8Array;
  /** At most 32 bytes. */
  readonly sessionId: Uint8Array;
  readonly cipherSuite: number;
  readonly compressionMethod: number;
  readonly extensions: ServerExtensions;
}

/** A {@link ServerHello} as it came. Byte fields are views of the body. */
export interface ReceivedServerHello extends ServerHello {
  /** Whether there was an extension block at all, maybe an empty one. */
  readonly extensionsPresent: boolean;
  /** Types of all extensions in order of appearance, unknown ones included; no duplicates. */
  readonly extensionTypes: readonly number[];
}

// struct {
//   ProtocolVersion server_version;
//   Random random;                              opaque [32]
//   SessionID session_id;                       opaque <0..32>
//   CipherSuite cipher_suite;
//   CompressionMethod compression_method;
//   select (extensions_present) {
//     case false: struct {};
//     case true: Extension extensions<0..2^16-1>;
//   };
// } ServerHello;

/** Throws `decode_error`, and what the extensions of {@link serverExtensions} throw. */
export function parseServerHello(body: Uint8Array): ReceivedServerHello {
  return parsing('ServerHello', body, (reader) => {
    const legacyVersion = reader.u16();
    const random = reader.take(32);
    const sessionId = reader.vec8().rest();
    if (sessionId.length > 32) {
      throw new TlsAlertError('decode_error', 'ServerHello: session_id too long');
    }
    const cipherSuite = reader.u16();
    const compressionMethod = reader.u8();
    const hello = { legacyVersion, random, sessionId, cipherSuite, compressionMethod };
    return {
      ...hello,
      ...parseExtensions('ServerHello', reader, serverExtensions, noServerExtensions),
    };
  });
}

/** Without any extension the block is left out (RFC 5246 §7.4.1.4). */
export function encodeServerHello(hello: ServerHello): Uint8Array {
  const writer = new Writer();
  writer.u16(hello.legacyVersion).bytes(hello.random).vec8(hello.sessionId);
  writer.u16(hello.cipherSuite).u8(hello.compressionMethod);
  encodeExtensions(writer, serverExtensions, hello.extensions);
  return writer.finish();
}
