import { isIP, Socket } from 'node:net';
import { type ClientOptions, clientHandshake } from '../connect.ts';
import { refuseForeignOptions } from '../connection-options.ts';
import { OffloadError, OffloadErrorCode } from '../errors.ts';
import type { Handshaker } from '../handshaker.ts';
import { OffloadSocket } from '../offload-socket.ts';
import type { OffloadSettings } from '../settings.ts';

export type PostgresStreamOptions = ClientOptions;

/**
 * For the option `stream` of `pg`, whose own `ssl` must be off: an unconnected socket, which `pg`
 * connects. TLS is asked for and made below `pg`, so no message of its protocol is ever in the clear
 * ({@link https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL | SSLRequest}).
 */
export class PostgresStream extends OffloadSocket {
  readonly #connect: (port: number | string, host: string | undefined) => void;

  constructor(options: PostgresStreamOptions, settings: OffloadSettings, handshaker: Handshaker) {
    refuseForeignOptions(options);
    const tcp = new Socket({ allowHalfOpen: true });
    let client = clientHandshake(options, undefined, settings);
    super({
      ...client.handshake,
      raw: tcp,
      handshaker,
      preface: askForTls,
      // Whom we are to reach is known once `connect` was called.
      get start() {
        return client.handshake.start;
      },
      get servername() {
        return client.handshake.servername;
      },
      checkPeer: (socket) => client.handshake.checkPeer?.(socket),
    });
    this.#connect = (port, host) => {
      client = clientHandshake(options, host, settings);
      this.servername = isIP(client.name) === 0 ? client.name : false;
      if (typeof port === 'string' && !/^\d+$/.test(port)) tcp.connect({ path: port });
      else tcp.connect({ port: Number(port), host: host ?? 'localhost', noDelay: true });
    };
  }

  /** As `pg` calls it: port and host, or the path of a unix socket. */
  connect(port: number | string, host?: string): this {
    this.#connect(port, host);
    this.limitConnecting();
    return this;
  }
}

/** One byte is the whole answer; anything behind it was not sent under TLS (CVE-2021-23222). */
function askForTls(tcp: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    tcp.once('data', (answer: Buffer) => {
      if (answer.length === 1 && answer[0] === willing) resolve();
      else reject(refusal(answer));
    });
    tcp.write(sslRequest);
  });
}

function refusal(answer: Uint8Array): OffloadError {
  const [first] = answer;
  return first === willing
    ? new OffloadError(
        OffloadErrorCode.handshake,
        'PostgreSQL server sent more than its consent to TLS',
        { phase: 'connect', reason: 'unexpected_plaintext' },
      )
    : new OffloadError(
        OffloadErrorCode.handshake,
        first === unwilling
          ? 'PostgreSQL server does not speak TLS: its setting ssl is off'
          : 'server did not answer the request for TLS as PostgreSQL does',
        { phase: 'connect', reason: 'tls_refused' },
      );
}

/** Its length, 8, and the number that stands where others have the protocol's version. */
const sslRequest = Uint8Array.of(0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f);
const willing = 0x53; // 'S'
const unwilling = 0x4e; // 'N'
