package sqspubsub

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// keyed returns messages with these keys, of which each has its position as its data.
func keyed(keys ...string) []driver.Message {
	ms := make([]driver.Message, len(keys))
	for i, k := range keys {
		ms[i] = driver.Message{Key: k, Data: []byte(strconv.Itoa(i))}
	}
	return ms
}

// recorded is a service that takes a second for a request.
type recorded struct {
	mu        sync.Mutex
	now, most int      // requests under way
	stored    []string // in order
	refuse    func(o *outgoing, try int) error
	tries     map[int]int
}

func (r *recorded) send(_ context.Context, part []*outgoing) (map[int]refusal, error) {
	r.mu.Lock()
	r.now++
	r.most = max(r.most, r.now)
	r.mu.Unlock()
	time.Sleep(time.Second)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now--
	no := make(map[int]refusal)
	for i, o := range part {
		r.tries[o.index]++
		if r.refuse != nil {
			if err := r.refuse(o, r.tries[o.index]); err != nil {
				no[i] = refusal{err, true}
				continue
			}
		}
		r.stored = append(r.stored, o.body)
	}
	return no, nil
}

func TestBatchesTravelAtOnceUnlessTheyShareAKey(t *testing.T) {
	all := func(n int, key string) []string { return slices.Repeat([]string{key}, n) }
	for name, tt := range map[string]struct {
		keys     []string
		fifo     bool
		requests int // the option
		took     time.Duration
		most     int
	}{
		"NoKeys":            {all(160, ""), false, 0, 2 * time.Second, 8},
		"NoKeysFIFO":        {all(160, ""), true, 0, 2 * time.Second, 8},
		"OneKey":            {all(40, "k"), false, 0, 4 * time.Second, 1},
		"OneKeyFIFO":        {all(4, "k"), true, 0, 4 * time.Second, 1},
		"TwoKeys":           {slices.Concat(all(20, "a"), all(20, "b")), false, 0, 2 * time.Second, 2},
		"Narrow":            {all(40, ""), false, 2, 2 * time.Second, 2},
		"OneAtATime":        {all(40, ""), false, -1, 4 * time.Second, 1},
		"OneOfManyIsShared": {slices.Concat(all(9, ""), []string{"k"}, all(9, ""), []string{"k"}), false, 0, 2 * time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &recorded{tries: map[int]int{}}
				began := time.Now()
				b := New(nil, nil, &Options{Requests: tt.requests})
				if err := b.publish(t.Context(), keyed(tt.keys...), 1000, tt.fifo, r.send); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took != tt.took || r.most != tt.most || len(r.stored) != len(tt.keys) {
					t.Errorf("%d messages in %v, %d requests at a time, want %d in %v, %d",
						len(r.stored), took, r.most, len(tt.keys), tt.took, tt.most)
				}
			})
		})
	}
}

func TestAKeyKeepsItsOrderAmongParallelRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var keys []string
		for i := range 300 {
			keys = append(keys, strconv.Itoa(i*i%23))
		}
		for _, fifo := range []bool{false, true} {
			r := &recorded{tries: map[int]int{}}
			if err := New(nil, nil, nil).publish(t.Context(), keyed(keys...), 1000, fifo, r.send); err != nil {
				t.Fatal(err)
			}
			last := map[string]int{}
			for _, body := range r.stored {
				i, _ := strconv.Atoi(body)
				if k := keys[i]; last[k] > i {
					t.Errorf("FIFO %v: message %d of key %s is stored after %d", fifo, i, k, last[k])
				} else {
					last[k] = i
				}
			}
		}
	})
}

// What follows a failure is not sent, whatever was on its way beside it is stored, and the indexes say which is which.
func TestAFailureNamesAllThatIsNotStored(t *testing.T) {
	boom := errors.New("boom")
	for _, fifo := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			keys := slices.Repeat([]string{""}, 200)
			for i := range 10 {
				keys[i*20+7] = "k"
			}
			r := &recorded{tries: map[int]int{}, refuse: func(o *outgoing, _ int) error {
				if o.index == 47 {
					return boom
				}
				return nil
			}}
			err := New(nil, nil, nil).publish(t.Context(), keyed(keys...), 1000, fifo, r.send)
			partly, ok := errors.AsType[*driver.PublishError](err)
			if !ok || !errors.Is(err, boom) {
				t.Fatalf("publish = %v, want a PublishError about boom", err)
			}
			var want []int
			for i := range keys {
				stored := slices.Contains(r.stored, strconv.Itoa(i))
				if !stored {
					want = append(want, i)
				}
				if keys[i] == "k" && stored != (i < 47) {
					t.Errorf("FIFO %v: message %d of the key is stored: %v, want those before 47", fifo, i, stored)
				}
			}
			if !slices.Equal(partly.Indexes, want) || len(want) < 50 || len(r.stored) < 50 {
				t.Errorf("indexes %v, want %v, and about half of them", partly.Indexes, want)
			}
		})
	}
}

// What the service refuses as a whole through our fault is not stored; of any other failure nobody knows.
func TestARefusalAsAWholeIsNoDoubt(t *testing.T) {
	for _, tt := range []struct {
		err   error
		doubt bool
	}{
		{&smithy.GenericAPIError{Code: "InvalidParameter", Fault: smithy.FaultClient}, false},
		{&smithy.GenericAPIError{Code: "InternalError", Fault: smithy.FaultServer}, true},
		{errors.New("connection reset"), true},
	} {
		err := New(nil, nil, nil).publish(t.Context(), keyed("", ""), 1000, false,
			func(context.Context, []*outgoing) (map[int]refusal, error) { return nil, tt.err })
		partly, doubt := errors.AsType[*driver.PublishError](err)
		if doubt != tt.doubt || !errors.Is(err, tt.err) || doubt && len(partly.Indexes) != 2 {
			t.Errorf("%v: publish = %v, want a PublishError: %v", tt.err, err, tt.doubt)
		}
	}
}
