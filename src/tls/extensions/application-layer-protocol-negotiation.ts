import type { Reader } from '../../bytes/reader.ts';
import type { Writer } from '../../bytes/writer.ts';
import { TlsAlertError } from '../alert.ts';
import type { ExtensionCodec } from './extension-table.ts';

// opaque ProtocolName<1..2^8-1>;
// struct { ProtocolName protocol_name_list<2..2^16-1>; } ProtocolNameList;

/**
 * The client's list, {@link https://www.rfc-editor.org/rfc/rfc7301#section-3.1 | RFC 7301 §3.1}. Names
 * are opaque bytes (GREASE ones are not text), here one character per byte.
 */
export const applicationProtocols: ExtensionCodec<readonly string[]> = {
  parse: protocolNameList,
  encode: writeProtocolNameList,
};

/** The server's choice: a list of exactly one. */
export const applicationProtocol: ExtensionCodec<string> = {
  parse(body) {
    const [name, ...others] = protocolNameList(body);
    if (name === undefined || others.length > 0) {
      throw new TlsAlertError('decode_error', 'ServerHello: more than one application protocol');
    }
    return name;
  },
  encode(writer, name) {
    writeProtocolNameList(writer, [name]);
  },
};

function protocolNameList(body: Reader): readonly string[] {
  const list = body.vec16();
  const names: string[] = [];
  do {
    const name = list.vec8().rest();
    if (name.length === 0) {
      throw new TlsAlertError('decode_error', 'empty application protocol name');
    }
    names.push(Buffer.from(name).toString('latin1'));
  } while (list.remaining > 0);
  return names;
}

function writeProtocolNameList(writer: Writer, names: readonly string[]): void {
  writer.vec16(() => {
    for (const name of names) writer.vec8(Buffer.from(name, 'latin1'));
  });
}
