import type { Reader } from '../../bytes/reader.ts';
import { TlsAlertError } from '../alert.ts';
import type { ExtensionCodec } from './extension-table.ts';

// struct {
//   NameType name_type;                         host_name(0)
//   select (name_type) { case host_name: HostName; } name;
// } ServerName;
// opaque HostName<1..2^16-1>;
// struct { ServerName server_name_list<1..2^16-1> } ServerNameList;

/**
 * The ClientHello's, {@link https://www.rfc-editor.org/rfc/rfc6066#section-3 | RFC 6066 §3}: exactly
 * one DNS name, given in lower case. Throws `decode_error` for other name types (whose length nobody
 * can know), `illegal_parameter` for a second name and for what is no host name: an address, a
 * trailing dot, bytes outside letters, digits, `-`, `_` and `.`.
 */
export const serverName: ExtensionCodec<string> = {
  parse(body) {
    const list = body.vec16();
    const name = hostName(list);
    if (list.remaining > 0) {
      hostName(list);
      throw new TlsAlertError('illegal_parameter', 'server_name: more than one name');
    }
    return name;
  },
  encode(writer, name) {
    writer.vec16(() => {
      writer.u8(0).vec16(Buffer.from(name, 'latin1'));
    });
  },
};

function hostName(list: Reader): string {
  if (list.u8() !== 0) throw new TlsAlertError('decode_error', 'server_name: not a host_name');
  const bytes = list.vec16().rest();
  if (bytes.length === 0) throw new TlsAlertError('decode_error', 'server_name: empty');
  const name = Buffer.from(bytes).toString('latin1').toLowerCase();
  if (name.length > maxNameLength || !dnsName.test(name) || ipv4Address.test(name)) {
    throw new TlsAlertError('illegal_parameter', 'server_name: not a DNS name');
  }
  return name;
}

/** RFC 1035 §2.3.4, in the presentation form. */
const maxNameLength = 253;
const dnsName = /^[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/;
/** No top-level domain is a number, so a last label of digits is meant as an address. */
const ipv4Address = /(?:^|\.)[0-9]+$/;
