package pubsubtest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

var leaseTests = []test{
	{name: "AcknowledgedNeverComesBack", run: acknowledgedNeverComesBack},
	{name: "EndsAndComesBack", needs: []ability{lease}, run: leaseEndsAndComesBack},
	{name: "IsExtended", needs: []ability{lease}, run: leaseIsExtended},
	{name: "ReleasedComesBackAtOnce", run: releasedComesBackAtOnce},
	{name: "ReleasedComesBackAfterItsDelay", run: releasedComesBackAfterItsDelay},
	{name: "CloseGivesBack", run: closeGivesBack},
	{name: "LateCallsDoNoHarm", run: lateCallsDoNoHarm},
	{name: "CloseGivesBackElsewhere", run: closeGivesBackElsewhere},
	{name: "AcksSomeOfABatch", run: acksSomeOfABatch},
	{name: "ReleasesABatch", run: releasesABatch},
	{name: "CountsEachDelivery", run: countsEachDelivery},
	{name: "SettlesFromManyGoroutines", run: settlesFromManyGoroutines},
	{name: "TakesEmptyCalls", run: takesEmptyCalls},
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
	began := time.Now() // before the lease does
	f.publish(message("1", ""))
	first := r.receive(1)[0]
	again := r.receive(1)[0]
	if took := time.Since(began); took < f.Lease*9/10 {
		f.Errorf("came back after %v, want %v", took, f.Lease)
	}
	f.isNext(again, first, 2)
	r.ack(again)
	r.receiveNone(2 * f.Lease)
}

func leaseIsExtended(f *fixture) {
	a, b := f.subscribe("shared"), f.subscribe("shared")
	for late := time.Now().Add(patience); ; {
		f.publish(message("1", ""))
		inTime, stolen := f.keepExtending(a, b)
		if inTime && len(stolen) > 0 {
			f.Fatalf("received %v while the other one extended its lease", ids(stolen))
		}
		if inTime {
			break
		}
		// A machine that stands still for longer than a lease shows nothing about the broker.
		b.ack(stolen...)
		if time.Now().After(late) {
			f.Skipf("the machine is too slow to renew a lease of %v in time", f.Lease)
		}
	}
	b.receiveNone(2 * f.Lease)
}

// keepExtending has a hold a message for three leases. It returns what b received meanwhile, and whether a extended its
// lease in time; b may have received something because it did not.
func (f *fixture) keepExtending(a, b *receiver) (inTime bool, stolen []*driver.Delivery) {
	f.Helper()
	ds := a.receive(1)
	renewed := time.Now()
	for range 9 {
		stolen = b.receiveFor(f.Lease / 3)
		if len(stolen) > 0 {
			return time.Since(renewed) < f.Lease*2/3, stolen
		}
		began := time.Now()
		if err := a.sub.Extend(f.Context(), ds); err != nil {
			f.Fatalf("Extend: %v", err)
		}
		if time.Since(renewed) > f.Lease*2/3 {
			stolen = b.receiveFor(2 * f.Lease)
			a.ack(ds...) // where it was not lost after all
			return false, stolen
		}
		renewed = began
	}
	a.ack(ds...)
	return true, nil
}

func releasedComesBackAtOnce(f *fixture) {
	r := f.subscribeFor("one", longLease)
	f.publish(message("1", ""))
	first := r.receive(1)
	if err := r.sub.Release(f.Context(), first, 0); err != nil {
		f.Fatalf("Release: %v", err)
	}
	again := r.receive(1)[0]
	f.isNext(again, first[0], 2)
	r.ack(again)
}

func releasedComesBackAfterItsDelay(f *fixture) {
	r := f.subscribeFor("one", longLease)
	f.publish(message("1", ""))
	first := r.receive(1)
	delay := f.Lease / 2
	began := time.Now()
	if err := r.sub.Release(f.Context(), first, delay); err != nil {
		f.Fatalf("Release: %v", err)
	}
	again := r.receive(1)[0]
	if took := time.Since(began); took < delay*9/10 {
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

func (f *fixture) release(r *receiver, delay time.Duration, ds ...*driver.Delivery) {
	f.Helper()
	if err := r.sub.Release(f.Context(), ds, delay); err != nil {
		f.Fatalf("Release: %v", err)
	}
}

func closeGivesBackElsewhere(f *fixture) {
	a := f.subscribe("shared")
	f.publish(message("1", ""), message("2", "k"))
	a.receive(2)
	b := f.subscribe("shared")
	a.close()
	b.receivesAll("1", "2")
}

func acksSomeOfABatch(f *fixture) {
	r := f.subscribeFor("one", longLease)
	f.publish(message("1", "a"), message("2", "b"), message("3", "c"), message("4", "d"))
	for _, d := range r.receive(4) {
		if id := string(d.Data); id == "2" || id == "4" {
			r.ack(d)
		} else {
			f.release(r, 0, d)
		}
	}
	r.receivesAll("1", "3")
	r.receiveNone(f.Lease)
}

func releasesABatch(f *fixture) {
	r := f.subscribeFor("one", longLease)
	var want []string
	for i := range 30 {
		want = append(want, fmt.Sprintf("%02d", i))
		f.publish(message(want[i], ""))
	}
	f.release(r, 0, r.receive(len(want))...)
	r.receivesAll(want...)
}

func countsEachDelivery(f *fixture) {
	r := f.subscribeFor("one", longLease)
	f.publish(message("1", "k"))
	first := r.receive(1)[0]
	d := first
	for n := 2; n <= 5; n++ {
		f.release(r, 0, d)
		d = r.receive(1)[0]
		f.isNext(d, first, n)
	}
	r.ack(d)
}

func settlesFromManyGoroutines(f *fixture) {
	r := f.subscribeFor("one", longLease)
	const n = 40
	for i := range n {
		f.publish(message(fmt.Sprintf("%02d", i), ""))
	}
	ds := r.receive(n)
	errs := make(chan error, n)
	for i, d := range ds {
		go func() {
			one := []*driver.Delivery{d}
			err := r.sub.Extend(f.Context(), one)
			if i%2 == 0 {
				err = errors.Join(err, r.sub.Ack(f.Context(), one))
			} else {
				err = errors.Join(err, r.sub.Release(f.Context(), one, 0))
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			f.Errorf("settling: %v", err)
		}
	}
	if got := len(f.drain(n/2, r)); got != n/2 {
		f.Errorf("%d came back, want the %d that were released", got, n/2)
	}
}

func takesEmptyCalls(f *fixture) {
	r := f.subscribe("one")
	r.ack()
	f.release(r, 0)
	if err := r.sub.Extend(f.Context(), nil); err != nil {
		f.Errorf("Extend of nothing = %v, want nil", err)
	}
}
