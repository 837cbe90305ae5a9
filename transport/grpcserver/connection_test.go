package grpcserver_test

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

// wire is a connection by hand: it does what the library's client never would.
type wire struct {
	net.Conn
	*http2.Framer
}

func dialWire(t *testing.T, r *rig) *wire {
	t.Helper()
	conn, err := r.ln.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	w := &wire{conn, http2.NewFramer(conn, conn)}
	if err := w.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return w
}

// goAway reads until the connection ends, and returns the code that the server gave for it.
func (w *wire) goAway() (code http2.ErrCode) {
	for {
		frame, err := w.ReadFrame()
		if err != nil {
			return code
		}
		if away, ok := frame.(*http2.GoAwayFrame); ok {
			code = away.ErrCode
		}
	}
}

func TestConnection(t *testing.T) {
	t.Run("PingsTooOftenAreItsEnd", func(t *testing.T) {
		for every, abuse := range map[time.Duration]bool{time.Second: true, 11 * time.Second: false} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(&grpcserver.Options{}).serve(t, &service{})
				w := dialWire(t, r)
				ended := make(chan http2.ErrCode, 1)
				go func() { ended <- w.goAway() }()
				for range 20 {
					if w.WritePing(false, [8]byte{}) != nil {
						break
					}
					time.Sleep(every)
				}
				synctest.Wait()
				var code http2.ErrCode
				select {
				case code = <-ended:
				default:
				}
				if (code == http2.ErrCodeEnhanceYourCalm) != abuse {
					t.Errorf("a ping every %v: ended by %v, want abuse: %t", every, code, abuse)
				}
				if err := r.call(t.Context()); err != nil {
					t.Errorf("another client: %v", err)
				}
				w.Close()
			})
		}
	})
	t.Run("SilenceIsItsEnd", func(t *testing.T) {
		for keepalive, want := range map[time.Duration]time.Duration{
			0: 80 * time.Second, 10 * time.Second: 30 * time.Second, -1: time.Hour,
		} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(&grpcserver.Options{Keepalive: keepalive, MaxConnectionAge: time.Hour}).serve(t, &service{})
				w := dialWire(t, r)
				began := time.Now()
				w.goAway() // and answers no ping
				// Give or take a tenth, and the time to say good-bye.
				if took := time.Since(began); took < want*9/10 || took > want*11/10+6*time.Second {
					t.Errorf("Keepalive %v: it ended after %v, want %v", keepalive, took, want)
				}
			})
		}
	})
	t.Run("EndsAtItsAgeGiveOrTake", func(t *testing.T) {
		ages := map[time.Duration]bool{}
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{MaxConnectionAge: time.Minute}).serve(t, &service{})
			for range 20 {
				w, began := dialWire(t, r), time.Now()
				if code := w.goAway(); code != http2.ErrCodeNo {
					t.Errorf("ended by %v, want no error", code)
				}
				age := time.Since(began)
				if age < 54*time.Second || age > 72*time.Second { // a tenth, and the time to say good-bye
					t.Errorf("ended after %v, want a minute, give or take a tenth", age)
				}
				ages[age] = true
			}
		})
		if len(ages) < 2 {
			t.Errorf("all end at the age of %v: they would come back at once, too", ages)
		}
	})
	t.Run("HasSoManyCalls", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var running atomic.Int64
			release := make(chan struct{})
			r := newRig(&grpcserver.Options{MaxStreams: 2}).serve(t, &service{call: func(context.Context) error {
				running.Add(1)
				<-release
				return nil
			}})
			done := make(chan error, 3)
			for range 3 {
				go func() { done <- r.call(t.Context()) }()
			}
			synctest.Wait()
			if got := running.Load(); got != 2 {
				t.Errorf("%d of 3 calls run at once, want 2", got)
			}
			release <- struct{}{}
			synctest.Wait()
			if got := running.Load(); got != 3 {
				t.Errorf("%d calls ran when one has ended, want the third, too", got)
			}
			close(release)
			for range 3 {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		})
	})
}
