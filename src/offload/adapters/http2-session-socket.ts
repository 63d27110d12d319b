import type { Http2Session } from 'node:http2';
import type { OffloadSocket } from '../offload-socket.ts';

/**
 * Node puts a socket of its own between an HTTP/2 session and a stream that is not one of its sockets,
 * and `session.socket` and `request.socket` show that. What applications ask of a TLS socket is put
 * there too, so that they find it as with HTTP/1.1.
 */
export function showConnection(session: Http2Session, socket: OffloadSocket): void {
  const { remoteAddress, remoteFamily, remotePort, localAddress, localFamily, localPort } = socket;
  Object.assign(session.socket, {
    encrypted: true,
    authorized: socket.authorized,
    servername: socket.servername,
    peerIdentity: socket.peerIdentity,
    localIdentity: socket.localIdentity,
    peerCertificateChain: socket.peerCertificateChain,
    handshakeId: socket.handshakeId,
    getPeerCertificate: socket.getPeerCertificate.bind(socket),
    getPeerX509Certificate: socket.getPeerX509Certificate.bind(socket),
    getCipher: socket.getCipher.bind(socket),
    getProtocol: socket.getProtocol.bind(socket),
    // Where Node remembers addresses, which it cannot ask such a socket for. Should it stop to do so,
    // they are unknown, as they would be without.
    _peername: { address: remoteAddress, family: remoteFamily, port: remotePort },
    _sockname: { address: localAddress, family: localFamily, port: localPort },
  });
}
