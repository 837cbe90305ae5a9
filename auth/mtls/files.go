package mtls

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const defaultEvery = time.Second

// Options of [Files].
type Options struct {
	// Every is how often the files are looked at, at most: a handshake looks when the last look is older. Zero means 1s;
	// negative means at each handshake.
	Every time.Duration
	// Logger gets one line when a new pair is in use, and one when a new pair is bad. Nil means slog.Default().
	Logger *slog.Logger
}

// Files is a certificate with its key in two PEM files, read again when they change. There is no goroutine: handshakes
// look at the files. One handshake reads them; others go on with the pair in use meanwhile. Its methods are safe for
// concurrent use.
type Files struct {
	cert, key string
	every     time.Duration
	logger    *slog.Logger

	current atomic.Pointer[tls.Certificate]
	looked  atomic.Int64 // when, in nanoseconds of time.Since(epoch)
	epoch   time.Time

	mu     sync.Mutex // held by the handshake that looks
	loaded [2]os.FileInfo
	failed string // why the pair in the files is not in use, "" where it is
}

// Load reads a certificate (its chain, leaf first) and its private key from PEM files. It returns an error where the
// pair cannot be used now. Nil options are defaults.
func Load(certFile, keyFile string, o *Options) (*Files, error) {
	if o == nil {
		o = &Options{}
	}
	f := &Files{
		cert: certFile, key: keyFile, every: o.Every, logger: cmp.Or(o.Logger, slog.Default()), epoch: time.Now(),
	}
	if f.every == 0 {
		f.every = defaultEvery
	}
	found, err := f.stat()
	if err == nil {
		err = f.load(found)
	}
	if err != nil {
		return nil, fmt.Errorf("mtls: certificate %q: %w", certFile, err)
	}
	return f, nil
}

// GetCertificate is for tls.Config of a server. It never fails: while the files hold no usable pair, it returns the
// last one.
func (f *Files) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.get(), nil }

// GetClientCertificate is for tls.Config of a client. It never fails, as [Files.GetCertificate].
func (f *Files) GetClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return f.get(), nil
}

func (f *Files) get() *tls.Certificate {
	now := int64(time.Since(f.epoch))
	if now-f.looked.Load() >= int64(f.every) && f.mu.TryLock() {
		f.look()
		f.looked.Store(int64(time.Since(f.epoch)))
		f.mu.Unlock()
	}
	return f.current.Load()
}

// look loads what has changed. A pair that is half replaced does not match: it is tried again at the next look, and
// told once.
func (f *Files) look() {
	found, err := f.stat()
	if err == nil && same(found, f.loaded) {
		f.failed = ""
		return
	}
	if err == nil {
		err = f.load(found)
	}
	switch {
	case err == nil:
		f.failed = ""
		f.logger.Info("certificate replaced", "file", f.cert, "not_after", f.current.Load().Leaf.NotAfter)
	case err.Error() != f.failed:
		f.failed = err.Error()
		f.logger.Error("new certificate is not usable, the old one stays", "file", f.cert, "error", err)
	}
}

// load reads the pair. What is read may be newer than found; then the next look reads it again.
func (f *Files) load(found [2]os.FileInfo) error {
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return err
	}
	f.loaded = found
	f.current.Store(&pair)
	return nil
}

// stat follows links, so that it sees the swap of a link that Kubernetes makes for a Secret.
func (f *Files) stat() (found [2]os.FileInfo, err error) {
	for i, name := range []string{f.cert, f.key} {
		if found[i], err = os.Stat(name); err != nil {
			return found, err
		}
	}
	return found, nil
}

func same(a, b [2]os.FileInfo) bool {
	for i := range a {
		if !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return true
}
