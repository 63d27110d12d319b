import { bytesOf } from './codec-suite.ts';

/**
 * ClientHellos in the shape of ones seen in the wild, put together from the structures of the RFCs:
 * what a TLS 1.2 server must be able to read past.
 */

/** A browser: GREASE (RFC 8701) in every list, TLS 1.3 with a hybrid share, padding (RFC 7685). */
export function browserHello(serverName: string): Uint8Array {
  return clientHello({
    sessionId: '11'.repeat(32),
    cipherSuites: '2a2a 1301 1302 1303 c02b c02f c02c c030 cca9 cca8 c013 c014 009c 009d 002f 0035',
    extensions: [
      ['8a8a', ''],
      ['0000', serverNameList(serverName)],
      ['0017', ''],
      ['ff01', '00'],
      ['000a', '000a 4a4a 11ec 001d 0017 0018'],
      ['000b', '01 00'],
      ['0023', ''],
      ['0010', '000c 02 6832 08 687474702f312e31'],
      ['0005', '01 0000 0000'],
      ['000d', '0010 0403 0804 0401 0503 0805 0501 0806 0601'],
      ['0012', ''],
      ['0033', `0029 4a4a 0001 00 001d 0020 ${'33'.repeat(32)}`],
      ['002d', '01 01'],
      ['002b', '06 7a7a 0304 0303'],
      ['001b', '02 0002'],
      ['4469', '0003 02 6832'],
      ['fe0d', `00 0001 0001 aa 0020 ${'44'.repeat(32)} 0010 ${'55'.repeat(16)}`],
      ['dada', '00'],
      ['0015', '00'.repeat(31)],
    ],
  });
}

/** A command line tool offering everything down to TLS 1.2, secure renegotiation by SCSV. */
export function toolHello(serverName: string): Uint8Array {
  return clientHello({
    sessionId: '',
    cipherSuites: 'c02c c030 009f cca9 cca8 ccaa c02b c02f 009e c024 c028 006b c023 c027 0067 00ff',
    extensions: [
      ['0000', serverNameList(serverName)],
      ['000b', '03 00 01 02'],
      ['000a', '000c 001d 0017 001e 0019 0018 0100'],
      ['0023', ''],
      ['0016', ''],
      ['0017', ''],
      [
        '000d',
        '0030 0403 0503 0603 0807 0808 0809 080a 080b 0804 0805 0806 0401 0501 0601 0303 0301 0302 0402 0502 0602 0203 0201 0202 0202',
      ],
    ],
  });
}

/** A client of 2008: two suites and no extension block at all. */
export function bareHello(): Uint8Array {
  return clientHello({ sessionId: '', cipherSuites: 'c02f c02b', extensions: undefined });
}

/** A ClientHello body from hexadecimal parts. */
export function clientHello(parts: {
  readonly version?: string;
  readonly sessionId?: string;
  readonly cipherSuites?: string;
  readonly compressionMethods?: string;
  /** `undefined`: no block. */
  readonly extensions: readonly (readonly [type: string, body: string])[] | undefined;
}): Uint8Array {
  return bytesOf(
    parts.version ?? '0303',
    helloRandom,
    vec8(bytesOf(parts.sessionId ?? '')),
    vec16(bytesOf(parts.cipherSuites ?? 'c02b')),
    vec8(bytesOf(parts.compressionMethods ?? '00')),
    extensionBlock(parts.extensions),
  );
}

/** The block at the end of a hello; nothing for `undefined`. */
export function extensionBlock(
  extensions: readonly (readonly [type: string, body: string])[] | undefined,
): Uint8Array {
  if (extensions === undefined) return bytesOf();
  return vec16(bytesOf(...extensions.flatMap(([type, body]) => [type, vec16(bytesOf(body))])));
}

/** The random of every hello here. */
export const helloRandom = Uint8Array.from({ length: 32 }, (_, index) => index);

function serverNameList(name: string): string {
  const entry = bytesOf('00', vec16(Buffer.from(name)));
  return Buffer.from(vec16(entry)).toString('hex');
}

function vec8(content: Uint8Array): Uint8Array {
  return bytesOf([content.length], content);
}

function vec16(content: Uint8Array): Uint8Array {
  return bytesOf([content.length >> 8, content.length & 0xff], content);
}
