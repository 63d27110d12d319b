// A stock TLS client: Node's own. Prints what it sees in the words of `openssl s_client`.
import { readFileSync } from 'node:fs';
import { connect } from 'node:tls';

const [certificateFile = '', privateKeyFile = '', rootFile = '', port] = process.argv.slice(2);

const socket = connect({
  host: '127.0.0.1',
  port: Number(port),
  servername: 'localhost',
  cert: readFileSync(certificateFile),
  key: readFileSync(privateKeyFile),
  ca: readFileSync(rootFile),
});
socket.on('secureConnect', () => {
  process.stdout.write(`    Protocol  : ${String(socket.getProtocol())}\n`);
  process.stdout.write(`    Cipher    : ${socket.getCipher().name}\n`);
  process.stdout.write(`Verify return code: ${socket.authorized ? '0 (ok)' : 'failed'}\n`);
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
});
socket.pipe(process.stdout);
