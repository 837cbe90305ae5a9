package pubsubtest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

var leaseTests = []test{
	{"AcknowledgedNeverComesBack", acknowledgedNeverComesBack},
	{"EndsAndComesBack", leaseEndsAndComesBack},
	{"IsExtended", leaseIsExtended},
	{"ReleasedComesBackAtOnce", releasedComesBackAtOnce},
	{"ReleasedComesBackAfterItsDelay", releasedComesBackAfterItsDelay},
	{"CloseGivesBack", closeGivesBack},
	{"LateCallsDoNoHarm", lateCallsDoNoHarm},
}

// isNext checks that d is delivery n of the message that first was.
func (f *fixture) isNext(d, first *driver.Delivery, n int) {
	f.Helper()
	if string(d.Data) != string(first.Data) || d.Position != first.Position {
		f.Errorf("received %q at %q, want %q at %q again", d.Data, d.Position, first.Data, first.Position)
	}
	if d.Attempt != 0 && d.Attempt != n {
		f.Errorf("Attempt = %d, want %d, or 0 from a broker that does not count", d.Attempt, n)
	}
}

func acknowledgedNeverComesBack(f *fixture) {
	r := f.subscribe("one")
	f.publish(message("1", "k"), message("2", ""))
	r.ack(r.receive(2)...)
	r.receiveNone(2 * f.Lease)
}

func leaseEndsAndComesBack(f *fixture) {
	r := f.subscribe("one")
	f.publish(message("1", ""))
	first := r.receive(1)[0]
	began := time.Now()
	again := r.receive(1)[0]
	if took := time.Since(began); took < f.Lease/2 || took > 3*f.Lease {
		f.Errorf("came back after %v, want about %v", took, f.Lease)
	}
	f.isNext(again, first, 2)
	r.ack(again)
	r.receiveNone(2 * f.Lease)
}

func leaseIsExtended(f *fixture) {
	a, b := f.subscribe("shared"), f.subscribe("shared")
	f.publish(message("1", ""))
	ds := a.receive(1)
	for range 9 {
		b.receiveNone(f.Lease / 3)
		if err := a.sub.Extend(f.Context(), ds); err != nil {
			f.Fatalf("Extend: %v", err)
		}
	}
	a.ack(ds...)
	b.receiveNone(2 * f.Lease)
}

func releasedComesBackAtOnce(f *fixture) {
	r := f.subscribe("one")
	f.publish(message("1", ""))
	first := r.receive(1)
	began := time.Now()
	if err := r.sub.Release(f.Context(), first, 0); err != nil {
		f.Fatalf("Release: %v", err)
	}
	again := r.receive(1)[0]
	if took := time.Since(began); took > f.Lease*3/4 {
		f.Errorf("came back after %v, want well before the lease of %v ends", took, f.Lease)
	}
	f.isNext(again, first[0], 2)
	r.ack(again)
}

func releasedComesBackAfterItsDelay(f *fixture) {
	r := f.subscribe("one")
	f.publish(message("1", ""))
	first := r.receive(1)
	delay := f.Lease / 2
	began := time.Now()
	if err := r.sub.Release(f.Context(), first, delay); err != nil {
		f.Fatalf("Release: %v", err)
	}
	again := r.receive(1)[0]
	if took := time.Since(began); took < delay*9/10 || took > delay+2*f.Lease {
		f.Errorf("came back after %v, want about %v", took, delay)
	}
	f.isNext(again, first[0], 2)
	r.ack(again)
}

func closeGivesBack(f *fixture) {
	r := f.subscribe("one")
	f.publish(message("1", "k"), message("2", "k"))
	r.receive(2)
	r.close()
	r = f.subscribe("one")
	ds := r.receive(2)
	if got := ids(ds); !slices.Equal(slices.Sorted(slices.Values(got)), []string{"1", "2"}) {
		f.Errorf("received %v, want 1 and 2 again", got)
	}
	r.ack(ds...)
}

func lateCallsDoNoHarm(f *fixture) {
	r := f.subscribe("one")
	f.publish(message("1", ""))
	ds := r.receive(1)
	r.ack(ds...)
	// A subscription may renew a lease while its handler's acknowledgement is on the way.
	if err := r.sub.Extend(f.Context(), ds); err != nil {
		f.Errorf("Extend after Ack = %v, want nil", err)
	}
	if err := r.sub.Ack(f.Context(), ds); err != nil {
		f.Errorf("a second Ack = %v, want nil", err)
	}
	r.receiveNone(f.Lease)
}

// keepsWhatWasStored is the only test that may end the broker.
func keepsWhatWasStored(f *fixture) {
	if f.Restart == nil {
		f.Skip("the harness cannot restart the broker")
	}
	r := f.subscribe("one")
	f.publish(message("unsettled", ""), message("waiting", ""))
	r.receive(1)
	f.Restart(f)
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	got := map[string]bool{}
	for len(got) < 2 {
		ds, err := r.sub.Receive(ctx, 10)
		if ctx.Err() != nil {
			f.Fatalf("received %v after the restart, then %v, want both messages", got, err)
		}
		if err != nil && errors.Is(err, driver.ErrClosed) {
			f.Fatalf("Receive = %v, want an error that another try may mend", err)
		}
		for _, d := range ds {
			got[string(d.Data)] = true
		}
		if err != nil {
			<-time.After(f.Lease / 10) // package pubsub backs off between tries, too
		}
	}
	f.publish(message("after", ""))
}
