package mtls_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/auth/mtls"
)

// pair returns a certificate for a name, and its key, in PEM.
func pair(t testing.TB, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// folder has the two files, replaced as a rename does it.
type folder string

func (d folder) cert() string { return filepath.Join(string(d), "tls.crt") }
func (d folder) key() string  { return filepath.Join(string(d), "tls.key") }

func (d folder) put(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

func (d folder) putPair(t *testing.T, name string) {
	cert, key := pair(t, name)
	d.put(t, d.cert(), cert)
	d.put(t, d.key(), key)
}

func load(t *testing.T, d folder, log *bytes.Buffer) *mtls.Files {
	t.Helper()
	f, err := mtls.Load(d.cert(), d.key(), &mtls.Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func name(t *testing.T, f *mtls.Files) string {
	t.Helper()
	c, err := f.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf.Subject.CommonName
}

func TestFilesAreReadAgainWhenTheyChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := folder(t.TempDir())
		d.putPair(t, "first")
		var log bytes.Buffer
		f := load(t, d, &log)
		d.putPair(t, "second")
		if got := name(t, f); got != "first" {
			t.Errorf("within a second: %s, want first: handshakes do not all look", got)
		}
		time.Sleep(time.Second)
		if got := name(t, f); got != "second" {
			t.Errorf("after a second: %s, want second", got)
		}
		if n := strings.Count(log.String(), "certificate replaced"); n != 1 {
			t.Errorf("%d lines, want 1: %s", n, &log)
		}
	})
}

func TestABadPairKeepsTheOldOneAndIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := folder(t.TempDir())
		d.putPair(t, "old")
		var log bytes.Buffer
		f := load(t, d, &log)
		newCert, newKey := pair(t, "new")
		looks := func(want string) {
			t.Helper()
			for range 3 {
				time.Sleep(time.Second)
				if got := name(t, f); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
		}
		d.put(t, d.cert(), newCert) // its key is not here yet
		looks("old")
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
			t.Errorf("%d errors for one bad pair, want 1: %s", n, &log)
		}
		d.put(t, d.key(), []byte("garbage"))
		looks("old")
		if err := os.Remove(d.key()); err != nil {
			t.Fatal(err)
		}
		looks("old")
		if n := strings.Count(log.String(), "level=ERROR"); n != 3 {
			t.Errorf("%d errors for three bad states, want 3: %s", n, &log)
		}
		d.put(t, d.key(), newKey)
		looks("new")
	})
}

func TestLinksAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := folder(t.TempDir())
		versions := []folder{folder(filepath.Join(string(d), "v1")), folder(filepath.Join(string(d), "v2"))}
		for i, v := range versions {
			if err := os.Mkdir(string(v), 0o700); err != nil {
				t.Fatal(err)
			}
			v.putPair(t, []string{"first", "second"}[i])
		}
		data := filepath.Join(string(d), "..data")
		link := func(to string) {
			if err := os.Symlink(to, data+".new"); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(data+".new", data); err != nil {
				t.Fatal(err)
			}
		}
		link("v1")
		for _, file := range []string{"tls.crt", "tls.key"} {
			if err := os.Symlink(filepath.Join("..data", file), filepath.Join(string(d), file)); err != nil {
				t.Fatal(err)
			}
		}
		f := load(t, d, &bytes.Buffer{})
		link("v2")
		time.Sleep(time.Second)
		if got := name(t, f); got != "second" {
			t.Errorf("after the link was swapped: %s, want second", got)
		}
	})
}

func TestLoadRefusesWhatCannotBeUsed(t *testing.T) {
	d := folder(t.TempDir())
	if _, err := mtls.Load(d.cert(), d.key(), nil); err == nil || !strings.Contains(err.Error(), "tls.crt") {
		t.Errorf("no files: %v, want an error that names one", err)
	}
	d.putPair(t, "one")
	_, other := pair(t, "other")
	d.put(t, d.key(), other)
	if _, err := mtls.Load(d.cert(), d.key(), nil); err == nil {
		t.Error("a key of another certificate: nil, want an error")
	}
}

func TestHandshakesGoOnWhileFilesChange(t *testing.T) {
	d := folder(t.TempDir())
	d.putPair(t, "localhost")
	f, err := mtls.Load(d.cert(), d.key(), &mtls.Options{Every: -1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					handshake(t, f)
				}
			}
		})
	}
	for range 20 {
		d.putPair(t, "localhost")
	}
	close(done)
	wg.Wait()
}

// handshake does one, with a certificate on both sides.
func handshake(t *testing.T, f *mtls.Files) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	server := tls.Server(a, &tls.Config{GetCertificate: f.GetCertificate, ClientAuth: tls.RequireAnyClientCert})
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		if err := server.Handshake(); err != nil {
			t.Errorf("the server's handshake: %v", err)
		}
		_, _ = server.Write([]byte("x")) // so that the client sees the end of it
	})
	client := tls.Client(b, &tls.Config{
		GetClientCertificate: f.GetClientCertificate,
		InsecureSkipVerify:   true, // of a certificate that is replaced all the time
	})
	if _, err := client.Read(make([]byte, 1)); err != nil {
		t.Errorf("the client's handshake: %v", err)
	}
}

func BenchmarkGetCertificate(b *testing.B) {
	d := folder(b.TempDir())
	cert, key := pair(b, "x")
	if err := os.WriteFile(d.cert(), cert, 0o600); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(d.key(), key, 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := mtls.Load(d.cert(), d.key(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = f.GetCertificate(nil)
	}
}
