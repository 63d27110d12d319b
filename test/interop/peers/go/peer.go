// A TLS peer over Go's crypto/tls, standard library only.
//
//	peer server CERT KEY ROOTS CLIENT_AUTH MAX_VERSION
//	peer client CERT KEY ROOTS CLIENT_AUTH MAX_VERSION PORT NAME
//
// CLIENT_AUTH is "mutual" or "none", MAX_VERSION "1.2" or "any". The server prints
// "listening PORT" and answers every request with its view of the handshake; the client connects
// twice and prints one JSON line for each connection.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
)

func main() {
	if len(os.Args) < 7 {
		log.Fatal("usage: peer server|client CERT KEY ROOTS mutual|none 1.2|any [PORT NAME]")
	}
	role, mutual := os.Args[1], os.Args[5] == "mutual"
	pair, err := tls.LoadX509KeyPair(os.Args[2], os.Args[3])
	check(err)
	pem, err := os.ReadFile(os.Args[4])
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	config := &tls.Config{RootCAs: roots, ClientCAs: roots, MinVersion: tls.VersionTLS12}
	if os.Args[6] == "1.2" {
		config.MaxVersion = tls.VersionTLS12
	}
	if role == "server" || mutual {
		config.Certificates = []tls.Certificate{pair}
	}
	if role == "server" {
		if mutual {
			config.ClientAuth = tls.RequireAndVerifyClientCert
		}
		serve(config)
		return
	}
	config.ServerName = os.Args[8]
	config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	for i := 0; i < 2; i++ {
		fetch(config, os.Args[7])
	}
}

func serve(config *tls.Config) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Printf("listening %d\n", listener.Addr().(*net.TCPAddr).Port)
	for {
		raw, err := listener.Accept()
		check(err)
		go answer(tls.Server(raw, config))
	}
}

func answer(conn *tls.Conn) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			fmt.Println("failed:", err)
			return
		}
		if strings.TrimSpace(line) == "" {
			break
		}
	}
	var body strings.Builder
	state := conn.ConnectionState()
	fmt.Fprintf(&body, "serverName: %s\n", state.ServerName)
	for field, value := range view(state) {
		fmt.Fprintf(&body, "%s: %v\n", field, value)
	}
	fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", body.Len(), body.String())
}

func fetch(config *tls.Config, port string) {
	conn, err := tls.Dial("tcp", "127.0.0.1:"+port, config)
	check(err)
	defer conn.Close()
	fmt.Fprintf(conn, "GET /status.json HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", config.ServerName)
	page, err := io.ReadAll(conn)
	check(err)
	line := view(conn.ConnectionState())
	line["page"] = string(page)
	check(json.NewEncoder(os.Stdout).Encode(line))
}

func view(state tls.ConnectionState) map[string]any {
	peer := "none"
	if len(state.PeerCertificates) > 0 {
		peer = state.PeerCertificates[0].Subject.String()
	}
	return map[string]any{
		"version": strings.Replace(tls.VersionName(state.Version), "TLS ", "TLSv", 1),
		"suite":   tls.CipherSuiteName(state.CipherSuite),
		"resumed": state.DidResume,
		"peer":    peer,
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
