package httpserver_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/auth/mtls"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

// protocol answers with the version of HTTP that it was asked in.
var protocol = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) })

// unixClient dials the socket whatever the URL says.
func unixClient(t *testing.T, path string) *http.Client {
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestServerListensOnAUnixSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "sock") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	server := func() *httpserver.Server {
		return httpserver.New(protocol, newObserved().server(httpserver.Options{Addr: "unix:" + path}))
	}
	get := func() {
		t.Helper()
		if _, body := send(t, unixClient(t, path), request(t, "GET", "http://x/", nil)); body != "HTTP/1.1" {
			t.Errorf("got %q, want an answer", body)
		}
	}

	s := server()
	_, stop := start(t, s)
	get()
	if s.Addr() != path {
		t.Errorf("Addr = %q, want %q", s.Addr(), path)
	}
	if err := server().Run(t.Context()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a second server on a socket in use: %v, want an error", err)
	}
	get()
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}

	// What a process leaves that was killed.
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	_, stop = start(t, server())
	get()
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}

	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := server().Run(t.Context()); err == nil {
		t.Error("a file that is no socket: nil, want an error")
	}
	if data, err := os.ReadFile(path); string(data) != "precious" || err != nil {
		t.Errorf("the file is %q, %v, want it as it was", data, err)
	}
}

func TestServerSpeaksWhatItIsTold(t *testing.T) {
	url, _ := start(t, httpserver.New(protocol, newObserved().server(httpserver.Options{
		Addr: "127.0.0.1:0", Protocols: cleartext(),
	})))
	two := &http.Transport{Protocols: new(http.Protocols)}
	two.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(two.CloseIdleConnections)
	for want, c := range map[string]*http.Client{"HTTP/1.1": newClient(t), "HTTP/2.0": {Transport: two}} {
		if _, body := send(t, c, request(t, "GET", url, nil)); body != want {
			t.Errorf("got %q, want %q", body, want)
		}
	}
}

// issue writes a new certificate for localhost and its key, and returns a pool that trusts it alone.
func issue(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, // without one OpenSSL refuses it
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return pool
}

func TestServerSpeaksTLS(t *testing.T) {
	cert, key := filepath.Join(t.TempDir(), "crt"), filepath.Join(t.TempDir(), "key")
	roots := issue(t, cert, key)
	obs := newObserved()
	files, err := mtls.Load(cert, key, &mtls.Options{Every: -1, Logger: obs.logger()})
	if err != nil {
		t.Fatal(err)
	}
	s := httpserver.New(protocol, obs.server(httpserver.Options{
		Addr: "127.0.0.1:0", TLS: &tls.Config{
			GetCertificate: files.GetCertificate,
			ClientAuth:     tls.RequireAnyClientCert,
		},
	}))
	_, stop := start(t, s)
	get := func(roots *x509.CertPool, http2, certificate bool) (string, error) {
		tr := &http.Transport{ForceAttemptHTTP2: http2, TLSClientConfig: &tls.Config{RootCAs: roots}}
		defer tr.CloseIdleConnections()
		if certificate {
			tr.TLSClientConfig.GetClientCertificate = files.GetClientCertificate
		}
		resp, err := (&http.Client{Transport: tr}).Do(request(t, "GET", "https://"+s.Addr(), nil))
		if err != nil {
			return "", err
		}
		resp.Body.Close()
		return resp.Proto, nil
	}
	for want, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		if got, err := get(roots, http2, true); got != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	if _, err := get(roots, false, false); err == nil {
		t.Error("a client without a certificate got an answer")
	}
	renewed := issue(t, cert, key)
	if _, err := get(roots, true, true); err == nil {
		t.Error("the old certificate is in use after it was replaced")
	}
	if _, err := get(renewed, true, true); err != nil {
		t.Errorf("the new certificate is not in use: %v", err)
	}
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestServeClosesWhatItWasGiven(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, s := range map[string]*httpserver.Server{
		"StoppedBefore": httpserver.New(protocol, newObserved().server(httpserver.Options{})),
		"NotStarted":    httpserver.New(nil, nil),
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Serve(ended, ln); (err == nil) != (name == "StoppedBefore") {
			t.Errorf("%s: Serve: %v", name, err)
		}
		if _, err := ln.Accept(); err == nil {
			t.Errorf("%s: the listener is open", name)
		}
	}
}
