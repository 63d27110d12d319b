import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.List;
import javax.net.ssl.ExtendedSSLSession;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SNIServerName;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSession;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

/**
 * A TLS peer over JSSE, JDK only.
 *
 * <pre>
 * Peer server CERT KEY ROOTS CLIENT_AUTH MAX_VERSION
 * Peer client CERT KEY ROOTS CLIENT_AUTH MAX_VERSION PORT NAME
 * </pre>
 *
 * CLIENT_AUTH is "mutual" or "none", MAX_VERSION "1.2" or "any". The server prints "listening PORT"
 * and answers every request with its view of the handshake; the client connects twice and prints
 * its view, then the page in base64, for each connection.
 */
public final class Peer {
  private static final char[] NO_PASSWORD = new char[0];

  public static void main(String[] args) throws Exception {
    boolean server = args[0].equals("server");
    boolean mutual = args[4].equals("mutual");
    String[] versions =
        args[5].equals("1.2") ? new String[] {"TLSv1.2"} : new String[] {"TLSv1.3", "TLSv1.2"};
    SSLContext context = context(args[1], args[2], args[3], server || mutual);
    if (server) {
      serve(context, mutual, versions);
      return;
    }
    for (int i = 0; i < 2; i++) fetch(context, versions, Integer.parseInt(args[6]), args[7]);
  }

  private static void serve(SSLContext context, boolean mutual, String[] versions) throws Exception {
    InetAddress loopback = InetAddress.getByName("127.0.0.1");
    SSLServerSocket listener =
        (SSLServerSocket) context.getServerSocketFactory().createServerSocket(0, 50, loopback);
    listener.setEnabledProtocols(versions);
    listener.setNeedClientAuth(mutual);
    System.out.println("listening " + listener.getLocalPort());
    while (true) {
      SSLSocket socket = (SSLSocket) listener.accept();
      Thread thread = new Thread(() -> answer(socket));
      thread.setDaemon(true);
      thread.start();
    }
  }

  private static void answer(SSLSocket socket) {
    try (socket) {
      long accepted = System.currentTimeMillis();
      readHead(socket.getInputStream());
      var session = (ExtendedSSLSession) socket.getSession();
      SNIServerName asked = session.getRequestedServerNames().get(0);
      String text =
          view(session, accepted)
              + "serverName: " + ((SNIHostName) asked).getAsciiName() + "\n";
      byte[] body = text.getBytes(StandardCharsets.ISO_8859_1);
      String head =
          "HTTP/1.1 200 OK\r\nContent-Length: " + body.length + "\r\nConnection: close\r\n\r\n";
      socket.getOutputStream().write(head.getBytes(StandardCharsets.ISO_8859_1));
      socket.getOutputStream().write(body);
    } catch (IOException failure) {
      System.out.println("failed: " + failure);
    }
  }

  private static void fetch(SSLContext context, String[] versions, int port, String name)
      throws Exception {
    long started = System.currentTimeMillis();
    try (SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket()) {
      // The name stands for the address: what is checked, sent as SNI, and the key of the cache.
      byte[] address = {127, 0, 0, 1};
      socket.connect(new InetSocketAddress(InetAddress.getByAddress(name, address), port));
      var parameters = socket.getSSLParameters();
      parameters.setProtocols(versions);
      parameters.setEndpointIdentificationAlgorithm("HTTPS");
      parameters.setServerNames(List.of(new SNIHostName(name)));
      socket.setSSLParameters(parameters);
      socket.startHandshake();
      String request = "GET /status.json HTTP/1.1\r\nHost: " + name + "\r\nConnection: close\r\n\r\n";
      socket.getOutputStream().write(request.getBytes(StandardCharsets.ISO_8859_1));
      byte[] page = socket.getInputStream().readAllBytes();
      System.out.print(view(socket.getSession(), started));
      System.out.println("page: " + Base64.getEncoder().encodeToString(page));
    }
  }

  private static void readHead(InputStream input) throws IOException {
    var head = new StringBuilder();
    while (head.indexOf("\r\n\r\n") < 0) {
      int next = input.read();
      if (next < 0) throw new SSLException("the request is cut short");
      head.append((char) next);
    }
  }

  /** A session made before the connection began was resumed; JSSE tells no other way. */
  private static String view(SSLSession session, long connected) {
    String peer;
    try {
      peer = ((X509Certificate) session.getPeerCertificates()[0]).getSubjectX500Principal().toString();
    } catch (SSLException absent) {
      peer = "none";
    }
    return "version: " + session.getProtocol() + "\nsuite: " + session.getCipherSuite()
        + "\nresumed: " + (session.getCreationTime() < connected) + "\npeer: " + peer + "\n";
  }

  private static SSLContext context(String chain, String key, String roots, boolean withKey)
      throws Exception {
    KeyStore trusted = KeyStore.getInstance("PKCS12");
    trusted.load(null, NO_PASSWORD);
    int index = 0;
    for (Certificate root : certificates(roots)) trusted.setCertificateEntry("root" + index++, root);
    var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(trusted);
    KeyStore own = KeyStore.getInstance("PKCS12");
    own.load(null, NO_PASSWORD);
    if (withKey) {
      Certificate[] certificates = certificates(chain).toArray(new Certificate[0]);
      own.setKeyEntry("own", privateKey(key, certificates[0]), NO_PASSWORD, certificates);
    }
    var keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    keys.init(own, NO_PASSWORD);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
    return context;
  }

  private static List<? extends Certificate> certificates(String file) throws Exception {
    byte[] pem = Files.readAllBytes(Path.of(file));
    var parsed = CertificateFactory.getInstance("X.509").generateCertificates(new ByteArrayInputStream(pem));
    return List.copyOf(parsed);
  }

  private static PrivateKey privateKey(String file, Certificate certificate) throws Exception {
    String pem = Files.readString(Path.of(file));
    byte[] der = Base64.getMimeDecoder().decode(pem.replaceAll("-----[^-]*-----", ""));
    String algorithm = certificate.getPublicKey().getAlgorithm();
    return KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(der));
  }

  private Peer() {}
}
