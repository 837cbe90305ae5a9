package sqspubsub_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/sqspubsub"
)

// failing answers for some entries of batches that they failed, and hands the others to the service.
type failing struct {
	*wire
	action string

	mu     sync.Mutex
	times  int // how often it fails each entry
	sender bool
	sent   []int          // entries of each request
	failed map[string]int // by receipt handle
}

// unlucky says which entries fail: those of every third message.
func unlucky(receipt string) bool {
	parts := strings.Split(receipt, "#")
	return len(parts) == 3 && strings.ContainsAny(parts[1][len(parts[1])-1:], "0369c")
}

func (f *failing) Do(r *http.Request) (*http.Response, error) {
	if r.Header.Get("X-Amz-Target") != "AmazonSQS."+f.action {
		return f.wire.Do(r)
	}
	var in struct {
		QueueURL string `json:"QueueUrl"`
		Entries  []map[string]any
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	refused := []map[string]any{}
	f.mu.Lock()
	f.sent = append(f.sent, len(in.Entries))
	in.Entries = slices.DeleteFunc(in.Entries, func(e map[string]any) bool {
		receipt := e["ReceiptHandle"].(string)
		if !unlucky(receipt) || f.failed[receipt] == f.times {
			return false
		}
		f.failed[receipt]++
		refused = append(refused, map[string]any{
			"Id": e["Id"], "Code": "Busy", "Message": "try again", "SenderFault": f.sender,
		})
		return true
	})
	f.mu.Unlock()
	out := map[string]any{"Failed": refused}
	if len(in.Entries) > 0 {
		body, err := json.Marshal(map[string]any{"QueueUrl": in.QueueURL, "Entries": in.Entries})
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		resp, err := f.wire.Do(r)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
			return nil, err
		}
		out["Failed"] = append(out["Failed"].([]any), anys(refused)...)
	}
	body, err := json.Marshal(out)
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(bytes.NewReader(body)), Request: r,
	}, err
}

func anys(ms []map[string]any) []any {
	all := make([]any, len(ms))
	for i, m := range ms {
		all[i] = m
	}
	return all
}

// What fails through no fault of the message is tried once more; what fails otherwise, or again, is named; the others
// are done.
func TestPartialFailuresOfSettling(t *testing.T) {
	type settle func(t *testing.T, s driver.Subscription, ds []*driver.Delivery) error
	for action, do := range map[string]settle{
		"DeleteMessageBatch": func(t *testing.T, s driver.Subscription, ds []*driver.Delivery) error {
			return s.Ack(t.Context(), ds)
		},
		"ChangeMessageVisibilityBatch": func(t *testing.T, s driver.Subscription, ds []*driver.Delivery) error {
			return s.Release(t.Context(), ds, 0)
		},
	} {
		for _, tt := range []struct {
			name   string
			times  int
			sender bool
			fails  bool
		}{
			{"TheServiceOnce", 1, false, false}, {"TheServiceTwice", 2, false, true}, {"TheSender", 1, true, true},
		} {
			t.Run(action+"/"+tt.name, func(t *testing.T) {
				url := startServer(t)
				f := &failing{wire: newWire(t), action: action, times: tt.times, sender: tt.sender, failed: map[string]int{}}
				queues, topics := clientsOver(url, f)
				b := sqspubsub.New(queues, topics, &sqspubsub.Options{PollWait: time.Second})
				s := open(t, b, driver.SubscribeOptions{Topic: "orders", Name: "stock", DeadLetter: graveTopic})
				ms := make([]driver.Message, 25)
				for i := range ms {
					ms[i] = driver.Message{ID: fmt.Sprint(i), Data: []byte(fmt.Sprint(i))}
				}
				if err := b.Publish(t.Context(), "orders", ms); err != nil {
					t.Fatal(err)
				}
				var ds []*driver.Delivery
				for len(ds) < len(ms) {
					more, err := s.Receive(t.Context(), 100)
					if err != nil {
						t.Fatal(err)
					}
					ds = append(ds, more...)
				}
				n := 0
				for _, d := range ds {
					if unlucky(d.Handle.(string)) {
						n++
					}
				}
				err := do(t, s, ds)
				if (err != nil) != tt.fails || tt.fails && strings.Count(err.Error(), "Busy: try again") != n {
					t.Errorf("got %v, want %d failures named: %v", err, n, tt.fails)
				}
				f.mu.Lock()
				total := 0
				for _, k := range f.sent {
					total += k
				}
				f.mu.Unlock()
				if want := map[bool]int{false: 25 + n, true: 25}[tt.sender]; total != want || n == 0 || n == 25 {
					t.Errorf("%d entries in all, %d of them unlucky, want %d", total, n, want)
				}
				lag, err := s.(driver.Lagger).Lag(t.Context())
				if left := map[bool]int{false: 0, true: n}[tt.fails]; action == "DeleteMessageBatch" && int(lag.Messages) != left {
					t.Errorf("left %d messages, %v, want %d", lag.Messages, err, left)
				}
			})
		}
	}
}
