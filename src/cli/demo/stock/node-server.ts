// A stock TLS server: Node's own. Prints its port and answers in the words of `openssl s_server -www`.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:tls';

const [certificateFile = '', privateKeyFile = '', rootFile = ''] = process.argv.slice(2);

const server = createServer(
  {
    cert: readFileSync(certificateFile),
    key: readFileSync(privateKeyFile),
    ca: readFileSync(rootFile),
    requestCert: true,
    rejectUnauthorized: true,
  },
  (socket) => {
    socket.on('error', (error: Error) => process.stderr.write(`${error.message}\n`));
    socket.once('data', () => {
      socket.end(
        'HTTP/1.0 200 ok\r\nContent-type: text/plain\r\n\r\n' +
          `    Protocol  : ${String(socket.getProtocol())}\n` +
          `    Cipher    : ${socket.getCipher().name}\n` +
          `    Verify return code: ${socket.authorized ? '0 (ok)' : 'failed'}\n`,
      );
    });
  },
);
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  process.stdout.write(`ACCEPT 127.0.0.1:${String(port)}\n`);
});
