package natspubsub

import (
	"bytes"
	"encoding/json"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// idleInboxes bounds how many inboxes are kept for later calls: to open one costs the server a look at all that it
// remembers of subjects.
const idleInboxes = 8

// inbox is where confirmations of what was published arrive. One call at a time uses it.
type inbox struct {
	sub           *nats.Subscription
	confirmations chan *nats.Msg
	prefix        string
	next          int // the number of the next message. None is used twice: an answer may come twice, and late
}

// inboxes keeps those that no call uses.
type inboxes struct {
	mu   sync.Mutex
	idle []*inbox
}

// take returns an inbox that nobody else uses.
func (is *inboxes) take(nc *nats.Conn) (*inbox, error) {
	is.mu.Lock()
	if n := len(is.idle); n > 0 {
		i := is.idle[n-1]
		is.idle = is.idle[:n-1]
		is.mu.Unlock()
		return i, nil
	}
	is.mu.Unlock()
	// Room for two answers to each message, as when streams on both sides of a leaf node take it: a full channel makes
	// the client drop.
	i := &inbox{confirmations: make(chan *nats.Msg, 2*window), prefix: nc.NewInbox() + "."}
	var err error
	i.sub, err = nc.ChanSubscribe(i.prefix+"*", i.confirmations)
	return i, err
}

// put gives an inbox back; one that is not clean, because an answer to it may still come, is closed.
func (is *inboxes) put(i *inbox, clean bool) {
	is.mu.Lock()
	defer is.mu.Unlock()
	if clean && len(is.idle) < idleInboxes {
		is.idle = append(is.idle, i)
		return
	}
	_ = i.sub.Unsubscribe() // it fails on a connection that is closed, which has forgotten it
}

// number reserves n numbers and returns the first.
func (i *inbox) number(n int) int {
	first := i.next
	i.next += n
	return first
}

func (i *inbox) reply(number int) string { return i.prefix + strconv.Itoa(number) }

// index returns the number of the message that m answers, -1 for none.
func (i *inbox) index(m *nats.Msg) int {
	if len(m.Subject) <= len(i.prefix) {
		return -1
	}
	n, err := strconv.Atoi(m.Subject[len(i.prefix):])
	if err != nil {
		return -1
	}
	return n
}

// stored returns nil for an answer which says that a stream has stored the message.
func stored(m *nats.Msg) error {
	if isPlainAck(m.Data) {
		return nil
	}
	if status(m) == "503" {
		return jetstream.ErrNoStreamResponse
	}
	return decodeAck(m.Data)
}

func decodeAck(data []byte) error {
	var answer struct {
		Error  *jetstream.APIError `json:"error"`
		Stream string              `json:"stream"`
	}
	switch err := json.Unmarshal(data, &answer); {
	case err != nil || answer.Error == nil && answer.Stream == "":
		return jetstream.ErrInvalidJSAck
	case answer.Error != nil:
		return answer.Error
	}
	return nil
}

// isPlainAck reports whether data is a positive answer as servers write most of them, {"stream":"NAME","seq":N}:
// decoding JSON would cost more than all else that is done for a message here.
func isPlainAck(data []byte) bool {
	rest, ok := bytes.CutPrefix(data, []byte(`{"stream":"`))
	if !ok {
		return false
	}
	name, rest, ok := bytes.Cut(rest, []byte(`","seq":`))
	if !ok || len(name) == 0 || bytes.ContainsFunc(name, func(r rune) bool {
		return r < ' ' || r > '~' || r == '"' || r == '\\'
	}) {
		return false
	}
	seq, ok := bytes.CutSuffix(rest, []byte("}"))
	if !ok || len(seq) == 0 || seq[0] == '0' {
		return false
	}
	for _, c := range seq {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
