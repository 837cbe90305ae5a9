package sqspubsub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// latency is what a request takes where nothing waits.
const latency = 10 * time.Millisecond

// fakeQueue answers the requests of a subscription, within a bubble of synctest: it has so many messages.
type fakeQueue struct {
	mu        sync.Mutex
	messages  int
	given     int
	polls     int // under way
	mostPolls int
	asked     int // by the polls under way
	mostAsked int // the most that was asked for and not received by the test
	received  int // by the test
	released  int
	extended  int
	fail      error
	failures  int // how many polls fail of it; negative for all
	silent    bool
}

// Do implements the HTTP client of an SDK's.
func (f *fakeQueue) Do(r *http.Request) (*http.Response, error) {
	var in struct {
		MaxNumberOfMessages, WaitTimeSeconds int
		Entries                              []struct{ VisibilityTimeout int }
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	out := map[string]any{}
	switch action := r.Header.Get("X-Amz-Target"); action {
	case "AmazonSQS.ReceiveMessage":
		ms, err := f.poll(r.Context(), in.MaxNumberOfMessages, time.Duration(in.WaitTimeSeconds)*time.Second)
		if err != nil {
			return nil, err
		}
		out["Messages"] = ms
	case "AmazonSQS.ChangeMessageVisibilityBatch":
		f.mu.Lock()
		for _, e := range in.Entries {
			if e.VisibilityTimeout == 0 {
				f.released++
			} else {
				f.extended++
			}
		}
		f.mu.Unlock()
	default:
		return nil, errors.New("unexpected " + action)
	}
	body, err := json.Marshal(out)
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(bytes.NewReader(body)), Request: r,
	}, err
}

func (f *fakeQueue) poll(ctx context.Context, n int, wait time.Duration) ([]map[string]string, error) {
	f.mu.Lock()
	f.polls++
	f.mostPolls = max(f.mostPolls, f.polls)
	f.asked += n
	f.mostAsked = max(f.mostAsked, f.asked+f.given-f.received)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.polls--
		f.mu.Unlock()
	}()
	f.mu.Lock()
	silent := f.silent
	f.mu.Unlock()
	if silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for left := wait; ; left -= latency {
		if err := pause(ctx, latency); err != nil {
			return nil, err
		}
		f.mu.Lock()
		var fail error
		if f.failures != 0 {
			fail = f.fail
			f.failures--
		}
		k := min(n, f.messages)
		if fail != nil {
			k = 0
		}
		f.messages -= k
		f.given += k
		first := f.given - k
		over := fail != nil || k > 0 || left <= 0
		if over {
			f.asked -= n
		}
		f.mu.Unlock()
		if !over {
			continue
		}
		if fail != nil {
			return nil, fail
		}
		ms := make([]map[string]string, k)
		for i := range ms {
			id := fmt.Sprint(first + i)
			ms[i] = map[string]string{"MessageId": id, "ReceiptHandle": id, "Body": id}
		}
		return ms, nil
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *fakeQueue) add(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.messages += n
}

// state returns the requests under way, the most of them since the last call, and what was released.
func (f *fakeQueue) state() (polls, most, released int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	most, f.mostPolls = f.mostPolls, f.polls
	return f.polls, most, f.released
}

// openFake opens a subscription to f.
func openFake(t *testing.T, f *fakeQueue, lease time.Duration, o *Options) *subscription {
	t.Helper()
	b := New(sqs.New(sqs.Options{
		BaseEndpoint: aws.String("http://queue.test"), Region: "r", HTTPClient: f, RetryMaxAttempts: 1,
		DisableMessageChecksumValidation: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "s"}, nil
		}),
	}), nil, o)
	s := newSubscription(b, queue{name: "q", url: aws.String("http://queue.test/1/q")}, lease)
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// drain receives until total deliveries have come, n at most at a time.
func drain(t *testing.T, f *fakeQueue, s *subscription, total, n int) {
	t.Helper()
	seen := map[string]bool{}
	for len(seen) < total {
		ds, err := s.Receive(t.Context(), n)
		if err != nil || len(ds) > n {
			t.Fatalf("Receive(%d) = %d deliveries, %v", n, len(ds), err)
		}
		f.mu.Lock()
		f.received += len(ds)
		f.mu.Unlock()
		for _, d := range ds {
			seen[d.Position] = true
		}
	}
}

func TestReceiversGrowWithWhatThereIsAndShrinkWithout(t *testing.T) {
	for _, tt := range []struct{ requests, n, most int }{
		{0, 1000, 8}, {3, 1000, 3}, {-1, 1000, 1}, {0, 20, 2}, {0, 19, 1}, {0, 9, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeQueue{messages: 1000}
			s := openFake(t, f, time.Hour, &Options{Requests: tt.requests})
			drain(t, f, s, 1000, tt.n)
			if _, most, _ := f.state(); most != tt.most {
				t.Errorf("Requests %d, Receive(%d): %d requests at a time, want %d", tt.requests, tt.n, most, tt.most)
			}
			f.mu.Lock()
			if f.mostAsked > tt.n {
				t.Errorf("asked for %d messages that nobody had received, want at most %d", f.mostAsked, tt.n)
			}
			f.mu.Unlock()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if ds, err := s.Receive(ctx, tt.n); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Receive = %v, %v, want nothing for a minute", ds, err)
			}
			if polls, _, _ := f.state(); polls != 1 {
				t.Errorf("%d requests at a time once there is nothing, want 1", polls)
			}
		})
	}
}

// A trickle is no reason to ask more often.
func TestReceiversDoNotGrowForATrickle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeQueue{}
		s := openFake(t, f, time.Hour, nil)
		for range 50 {
			f.add(9)
			drain(t, f, s, 9, 100)
			time.Sleep(time.Second)
		}
		if _, most, _ := f.state(); most != 1 {
			t.Errorf("%d requests at a time, want 1", most)
		}
	})
}

// What waits here is hidden from others, who may have time for it, whatever was fetched since.
func TestWhatNobodyReceivesIsGivenBackSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeQueue{messages: 4}
		s := openFake(t, f, 10*time.Second, &Options{PollWait: time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), latency/2)
		if ds, err := s.Receive(ctx, 10); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Receive = %v, %v, want that its time is over", ds, err)
		}
		cancel()
		time.Sleep(400 * time.Millisecond)
		f.add(5)
		if ds, err := s.Receive(t.Context(), 1); err != nil || len(ds) != 1 || ds[0].Position != "0" {
			t.Fatalf("Receive = %v, %v, want the first of what waits here", ds, err)
		}
		time.Sleep(400 * time.Millisecond)
		if _, _, released := f.state(); released != 0 {
			t.Errorf("%d are given back, want none yet", released)
		}
		time.Sleep(400 * time.Millisecond)
		if _, _, released := f.state(); released != 3 {
			t.Errorf("%d are given back after a second, want 3", released)
		}
		if ds, err := s.Receive(t.Context(), 10); err != nil || len(ds) != 5 || ds[0].Position != "4" {
			t.Errorf("Receive = %v, %v, want the 5 that are young", ds, err)
		}
		time.Sleep(time.Minute)
		if _, _, released := f.state(); released != 3 {
			t.Errorf("%d are given back, want 3: the others are received", released)
		}
	})
}

func TestCloseGivesBackWhatParallelRequestsBring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeQueue{messages: 100}
		s := openFake(t, f, time.Hour, nil)
		drain(t, f, s, 100, 100)
		ctx, cancel := context.WithTimeout(t.Context(), latency)
		_, _ = s.Receive(ctx, 100)
		cancel()
		f.add(35)
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		polls, _, released := f.state()
		if given := f.given - 100; polls != 0 || released != given || given < 10 {
			t.Errorf("%d requests under way, %d of %d given back, want 0 and all", polls, released, given)
		}
		if _, err := s.Receive(t.Context(), 1); !errors.Is(err, driver.ErrClosed) {
			t.Errorf("Receive = %v, want ErrClosed", err)
		}
	})
}

func TestAFailureIsToldOnceAndForgottenWithSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeQueue{fail: errors.New("no route"), failures: -1}
		s := openFake(t, f, time.Hour, nil)
		for range 2 {
			if _, err := s.Receive(t.Context(), 10); err == nil || !strings.Contains(err.Error(), "no route") {
				t.Errorf("Receive = %v, want that there is no route", err)
			}
		}
		f.mu.Lock()
		f.failures = 0
		f.mu.Unlock()
		f.add(1)
		drain(t, f, s, 1, 10)
	})
}

// What arrives while nobody asks does not show that more could be handled.
func TestReceiversGrowSlowlyForASlowConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeQueue{messages: 10_000}
		s := openFake(t, f, time.Hour, nil)
		for round := range 6 {
			drain(t, f, s, 1, 1000)
			time.Sleep(time.Second)
			if _, most, _ := f.state(); most > round+2 {
				t.Errorf("round %d: %d requests at a time, want at most %d", round, most, round+2)
			}
		}
	})
}

func TestAfterAFailureReceiversStartFromOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeQueue{messages: 1000, fail: errors.New("no route")}
		s := openFake(t, f, time.Hour, nil)
		drain(t, f, s, 900, 1000)
		f.mu.Lock()
		f.messages, f.failures = 0, -1
		f.mu.Unlock()
		for range 10 {
			_, _ = s.Receive(t.Context(), 1000) // what is still here, and then failures
			synctest.Wait()
		}
		time.Sleep(time.Second)
		f.state()
		if _, err := s.Receive(t.Context(), 1000); err == nil {
			t.Error("Receive = nil, want a failure")
		}
		if _, most, _ := f.state(); most > 1 {
			t.Errorf("%d requests at a time, want 1", most)
		}
	})
}

// A failure beside a success is none: the queue can be reached.
func TestAFailureIsForgottenWhenARequestBesideItSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeQueue{messages: 1000, fail: errors.New("no route")}
		s := openFake(t, f, time.Hour, nil)
		drain(t, f, s, 900, 1000)
		f.mu.Lock()
		f.failures = 1
		f.mu.Unlock()
		time.Sleep(500 * time.Millisecond) // all requests under way have ended
		for n := 0; n < 30; {
			ds, err := s.Receive(t.Context(), 1000)
			if err != nil {
				t.Fatalf("Receive = %v, want what is there", err)
			}
			n += len(ds)
		}
	})
}

// A connection that died without a word holds up no subscription for ever.
func TestAServiceThatDoesNotAnswerIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeQueue{silent: true}
		s := openFake(t, f, time.Hour, nil)
		began := time.Now()
		if _, err := s.Receive(t.Context(), 10); err == nil {
			t.Error("Receive = nil, want a failure")
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("it took %v, want at most a minute", took)
		}
		f.mu.Lock()
		f.silent = false
		f.mu.Unlock()
		f.add(1)
		drain(t, f, s, 1, 10)
	})
}
