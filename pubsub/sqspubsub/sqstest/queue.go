package sqstest

import (
	"container/list"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
)

const (
	maxVisibility = 12 * time.Hour
	dedupWindow   = 5 * time.Minute
)

// queue is one of either kind. The server's mutex guards it.
type queue struct {
	name       string
	attributes map[string]string
	policy     accessPolicy // of attributes, once it was asked for
	created    time.Time
	messages   *list.List               // of *message, in order of arrival
	byID       map[string]*list.Element // the same
	flying     map[string]int           // groups, and how many of each are in flight, in a FIFO queue
	stored     map[string]stored        // by deduplication ID
	changed    chan struct{}            // closed and replaced when something may have become visible
}

// stored is what the deduplication window remembers.
type stored struct {
	id, sequence string
	at           time.Time
}

var queueDefaults = map[string]string{ //nolint:gochecknoglobals // never written
	"VisibilityTimeout": "30", "DelaySeconds": "0", "MaximumMessageSize": strconv.Itoa(maxBytes),
	"MessageRetentionPeriod": "345600", "ReceiveMessageWaitTimeSeconds": "0",
}

func newQueue(name string, attributes map[string]string) (*queue, *apiError) {
	base, fifo := strings.CutSuffix(name, ".fifo")
	if base == "" || len(name) > 80 || strings.Trim(base, strings.TrimSuffix(attributeNameChars, ".")) != "" {
		return nil, fault("InvalidParameterValue", "Can only include alphanumeric characters, hyphens, or underscores. "+
			"1 to 80 in length")
	}
	if fifo != (attributes["FifoQueue"] == "true") {
		return nil, fault("InvalidParameterValue", "The name of a FIFO queue can only include alphanumeric characters, "+
			"hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length.")
	}
	q := &queue{
		name: name, attributes: maps.Clone(queueDefaults), created: time.Now(), messages: list.New(),
		byID: make(map[string]*list.Element), flying: make(map[string]int), stored: make(map[string]stored),
		changed: make(chan struct{}),
	}
	maps.Copy(q.attributes, attributes)
	q.attributes["QueueArn"] = queueARN(name)
	return q, nil
}

func (q *queue) fifo() bool { return q.attributes["FifoQueue"] == "true" }

// number returns an attribute that is one.
func (q *queue) number(attribute string) int {
	n, _ := strconv.Atoi(q.attributes[attribute]) // zero for what a user wrote wrongly
	return n
}

func (q *queue) seconds(attribute string) time.Duration {
	return time.Duration(q.number(attribute)) * time.Second
}

// add stores a message, or returns the one that it repeats.
func (s *Server) add(q *queue, c content, delay time.Duration) (id, sequence string, e *apiError) {
	if e := c.check(min(q.number("MaximumMessageSize"), maxBytes)); e != nil {
		return "", "", e
	}
	now := time.Now()
	if q.fifo() {
		if e := q.checkFIFO(&c, delay); e != nil {
			return "", "", e
		}
		if before, ok := q.stored[q.dedupKey(c)]; ok && now.Sub(before.at) < dedupWindow {
			return before.id, before.sequence, nil
		}
	}
	m := &message{content: c, id: s.id(), sent: now, visible: now.Add(delay)}
	if q.fifo() {
		m.sequence = s.sequence
		sequence = fmt.Sprintf("%020d", m.sequence)
		q.stored[q.dedupKey(c)] = stored{m.id, sequence, now}
	}
	q.push(m)
	return m.id, sequence, nil
}

func (q *queue) checkFIFO(c *content, delay time.Duration) *apiError {
	switch {
	case c.group == "":
		return fault("MissingParameter", "The request must contain the parameter MessageGroupId.")
	case delay != q.seconds("DelaySeconds"):
		return fault("InvalidParameterValue", "Value for parameter DelaySeconds is invalid. "+
			"Reason: The request include parameter that is not valid for this queue type.")
	case c.dedup == "" && q.attributes["ContentBasedDeduplication"] == "true":
		c.dedup = digest(c.body)
	case c.dedup == "":
		return fault("InvalidParameterValue", "The queue should either have ContentBasedDeduplication enabled or "+
			"MessageDeduplicationId provided explicitly")
	}
	return nil
}

func (q *queue) dedupKey(c content) string {
	if q.attributes["DeduplicationScope"] == "messageGroup" {
		return c.group + "\x00" + c.dedup
	}
	return c.dedup
}

func (q *queue) push(m *message) {
	q.byID[m.id] = q.messages.PushBack(m)
	q.wake()
}

func (q *queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

func (q *queue) remove(m *message) {
	if e := q.byID[m.id]; e != nil {
		q.messages.Remove(e)
		delete(q.byID, m.id)
		q.land(m)
		q.wake() // its group may go on
	}
}

// land notes that m is in flight no longer.
func (q *queue) land(m *message) {
	if !m.inFlight {
		return
	}
	m.inFlight = false
	if q.flying[m.group]--; q.flying[m.group] <= 0 {
		delete(q.flying, m.group)
	}
}

// take receives at most n messages. With none it returns when one may become visible by itself, zero for never.
func (s *Server) take(q *queue, n int, visibility time.Duration) (got []*message, next time.Time) {
	now := time.Now()
	q.landAll(now)
	blocked := make(map[string]bool)
	for e := q.messages.Front(); e != nil && len(got) < n; {
		m := e.Value.(*message)
		e = e.Next()
		if m.visible.After(now) {
			if next.IsZero() || m.visible.Before(next) {
				next = m.visible
			}
			blocked[m.group] = true // one of a group that waits holds up those behind it
			continue
		}
		if q.fifo() && (blocked[m.group] || q.flying[m.group] > 0 && !takenNow(got, m.group)) {
			continue
		}
		if s.bury(q, m) {
			continue
		}
		m.receive(now, visibility)
		if q.fifo() {
			q.flying[m.group]++
		}
		got = append(got, m)
	}
	return got, next
}

// landAll ends the flight of what has become visible.
func (q *queue) landAll(now time.Time) {
	if len(q.flying) == 0 { // as in a standard queue, always
		return
	}
	for e := q.messages.Front(); e != nil; e = e.Next() {
		if m := e.Value.(*message); m.inFlight && !m.visible.After(now) {
			q.land(m)
		}
	}
}

// takenNow reports whether one of group is among got: a call may return several of one group.
func takenNow(got []*message, group string) bool {
	for _, m := range got {
		if m.group == group {
			return true
		}
	}
	return false
}

func (m *message) receive(now time.Time, visibility time.Duration) {
	m.count++
	m.received, m.visible, m.inFlight = now, now.Add(visibility), true
	if m.first.IsZero() {
		m.first = now
	}
}

// receipt is the handle of m's last receive.
func (q *queue) receipt(m *message) string { return q.name + "#" + m.id + "#" + strconv.Itoa(m.count) }

// find returns the message of a receipt handle: nil for one that is gone or was received again since.
func (q *queue) find(receipt string) (*message, *apiError) {
	parts := strings.Split(receipt, "#")
	if len(parts) != 3 || parts[0] != q.name {
		return nil, fault("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
	}
	e := q.byID[parts[1]]
	if e == nil {
		return nil, nil
	}
	m := e.Value.(*message)
	if strconv.Itoa(m.count) != parts[2] {
		return nil, nil
	}
	return m, nil
}

// drop deletes by a receipt handle. That of a message which is gone, or was received again, is no error; one that has
// expired is in a FIFO queue.
func (q *queue) drop(receipt string) *apiError {
	m, e := q.find(receipt)
	if e != nil || m == nil {
		return e
	}
	if q.fifo() && !m.visible.After(time.Now()) {
		return fault("InvalidParameterValue", "Value %s for parameter ReceiptHandle is invalid. "+
			"Reason: The receipt handle has expired.", receipt)
	}
	q.remove(m)
	return nil
}

func (q *queue) changeVisibility(receipt string, timeout time.Duration) *apiError {
	m, e := q.find(receipt)
	now := time.Now()
	switch {
	case e != nil:
		return e
	case timeout < 0 || timeout > maxVisibility:
		return fault("InvalidParameterValue", "Value %d for parameter VisibilityTimeout is invalid. "+
			"Reason: VisibilityTimeout must be an integer between 0 and 43200.", int(timeout.Seconds()))
	case m == nil || !m.visible.After(now):
		return fault("InvalidParameterValue", "Value %s for parameter ReceiptHandle is invalid. "+
			"Reason: Message does not exist or is not available for visibility timeout change.", receipt)
	case now.Add(timeout).Sub(m.received) > maxVisibility:
		return fault("InvalidParameterValue", "Value %d for parameter VisibilityTimeout is invalid. "+
			"Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds].", int(timeout.Seconds()))
	}
	m.visible = now.Add(timeout)
	q.wake()
	return nil
}

// counts returns how many messages are visible, in flight and delayed.
func (q *queue) counts() (visible, flying, delayed int) {
	now := time.Now()
	for e := q.messages.Front(); e != nil; e = e.Next() {
		switch m := e.Value.(*message); {
		case !m.visible.After(now):
			visible++
		case m.inFlight:
			flying++
		default:
			delayed++
		}
	}
	return visible, flying, delayed
}
