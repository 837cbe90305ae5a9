package sqstest

import (
	"context"
	"crypto/md5" //nolint:gosec // the protocol asks for it
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxRequest bounds a request's body: ten messages in base64, and more.
const maxRequest = 4 << 20

// sqsInput has the parameters of all actions.
type sqsInput struct {
	QueueName, QueueURL, QueueNamePrefix string
	Attributes                           map[string]string
	AttributeNames                       []string
	Entries                              []sqsEntry
	MaxNumberOfMessages                  *int
	VisibilityTimeout                    *int
	WaitTimeSeconds                      *int
	sqsEntry
}

// sqsEntry is one of a batch, or the parameters of an action on one message.
type sqsEntry struct {
	ID                     string `json:"Id"`
	MessageBody            string
	MessageAttributes      map[string]attribute
	MessageGroupID         string `json:"MessageGroupId"`
	MessageDeduplicationID string `json:"MessageDeduplicationId"`
	DelaySeconds           *int
	ReceiptHandle          string
	VisibilityTimeout      *int
}

func (e sqsEntry) content() content {
	return content{e.MessageBody, e.MessageAttributes, e.MessageGroupID, e.MessageDeduplicationID}
}

func (s *Server) serveSQS(w http.ResponseWriter, r *http.Request, action string) {
	var in sqsInput
	err := json.NewDecoder(io.LimitReader(r.Body, maxRequest)).Decode(&in)
	var out any = map[string]string{}
	var e *apiError
	if err != nil {
		e = fault("SerializationException", "%v", err)
	} else {
		out, e = s.sqs(r.Context(), action, &in)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if e != nil {
		w.WriteHeader(http.StatusBadRequest)
		out = map[string]string{"__type": "com.amazonaws.sqs#" + e.code, "message": e.message}
	}
	_ = json.NewEncoder(w).Encode(out) // a client that is gone has no use for it
}

func (s *Server) sqs(ctx context.Context, action string, in *sqsInput) (any, *apiError) {
	if action == "ReceiveMessage" {
		return s.receiveMessage(ctx, in)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch action {
	case "CreateQueue":
		return s.createQueue(in)
	case "ListQueues":
		return s.listQueues(in), nil
	}
	q, e := s.queueOf(in)
	if e != nil {
		return nil, e
	}
	switch action {
	case "GetQueueUrl":
		return map[string]string{"QueueUrl": s.queueURL(q)}, nil
	case "GetQueueAttributes":
		return map[string]any{"Attributes": q.describe(in.AttributeNames)}, nil
	case "SetQueueAttributes":
		maps.Copy(q.attributes, in.Attributes)
	case "DeleteQueue":
		delete(s.queues, q.name)
		q.wake()
	case "PurgeQueue":
		clear(q.byID)
		clear(q.flying)
		q.messages.Init()
	case "SendMessage":
		return s.sendMessage(q, in.sqsEntry)
	case "DeleteMessage":
		return struct{}{}, q.drop(in.ReceiptHandle)
	case "ChangeMessageVisibility":
		return struct{}{}, q.changeVisibility(in.ReceiptHandle, seconds(in.VisibilityTimeout))
	case "SendMessageBatch", "DeleteMessageBatch", "ChangeMessageVisibilityBatch":
		return s.batch(q, action, in.Entries)
	default:
		return nil, fault("UnsupportedOperation", "no %s here", action)
	}
	return struct{}{}, nil
}

func seconds(n *int) time.Duration {
	if n == nil {
		return 0
	}
	return time.Duration(*n) * time.Second
}

func (s *Server) queueURL(q *queue) string { return s.url + "/" + Account + "/" + q.name }

// queueOf finds the queue that a request names.
func (s *Server) queueOf(in *sqsInput) (*queue, *apiError) {
	name := in.QueueName
	if name == "" {
		name = in.QueueURL[strings.LastIndexByte(in.QueueURL, '/')+1:]
	}
	if q := s.queues[name]; q != nil {
		return q, nil
	}
	return nil, fault("QueueDoesNotExist", "The specified queue does not exist.")
}

func (s *Server) createQueue(in *sqsInput) (any, *apiError) {
	if q := s.queues[in.QueueName]; q != nil {
		for k, v := range in.Attributes {
			if q.attributes[k] != v {
				return nil, fault("QueueNameExists", "A queue already exists with the same name and a different value for "+
					"attribute %s", k)
			}
		}
		return map[string]string{"QueueUrl": s.queueURL(q)}, nil
	}
	if e := s.checkRedrive(in.Attributes); e != nil {
		return nil, e
	}
	q, e := newQueue(in.QueueName, in.Attributes)
	if e != nil {
		return nil, e
	}
	s.queues[q.name] = q
	return map[string]string{"QueueUrl": s.queueURL(q)}, nil
}

func (s *Server) listQueues(in *sqsInput) any {
	urls := []string{}
	for _, name := range slices.Sorted(maps.Keys(s.queues)) {
		if strings.HasPrefix(name, in.QueueNamePrefix) {
			urls = append(urls, s.queueURL(s.queues[name]))
		}
	}
	return map[string]any{"QueueUrls": urls}
}

// describe returns the attributes that were asked for.
func (q *queue) describe(names []string) map[string]string {
	all := maps.Clone(q.attributes)
	visible, flying, delayed := q.counts()
	all["ApproximateNumberOfMessages"] = strconv.Itoa(visible)
	all["ApproximateNumberOfMessagesNotVisible"] = strconv.Itoa(flying)
	all["ApproximateNumberOfMessagesDelayed"] = strconv.Itoa(delayed)
	all["CreatedTimestamp"] = strconv.FormatInt(q.created.Unix(), 10)
	if slices.Contains(names, "All") {
		return all
	}
	maps.DeleteFunc(all, func(k, _ string) bool { return !slices.Contains(names, k) })
	return all
}

// sent is what is answered for one message.
type sent struct {
	ID               string `json:"Id,omitempty"`
	MessageID        string `json:"MessageId"`
	MD5OfMessageBody string
	SequenceNumber   string `json:",omitempty"`
}

func (s *Server) sendMessage(q *queue, e sqsEntry) (*sent, *apiError) {
	delay := q.seconds("DelaySeconds")
	if e.DelaySeconds != nil {
		delay = seconds(e.DelaySeconds)
	}
	if delay < 0 || delay > 15*time.Minute {
		return nil, fault("InvalidParameterValue", "Value %v for parameter DelaySeconds is invalid. "+
			"Reason: DelaySeconds must be >= 0 and <= 900.", delay.Seconds())
	}
	id, sequence, fail := s.add(q, e.content(), delay)
	if fail != nil {
		return nil, fail
	}
	return &sent{e.ID, id, sum(e.MessageBody), sequence}, nil
}

func sum(body string) string {
	digest := md5.Sum([]byte(body)) //nolint:gosec // the protocol asks for it
	return hex.EncodeToString(digest[:])
}

func digest(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// failed is what is answered for an entry that was refused.
type failed struct {
	ID          string `json:"Id"`
	Code        string
	Message     string
	SenderFault bool
}

// batch does an action with each entry by itself: one that fails leaves the others alone.
func (s *Server) batch(q *queue, action string, entries []sqsEntry) (any, *apiError) {
	ids := make([]string, len(entries))
	size := 0
	for i, e := range entries {
		ids[i] = e.ID
		size += e.content().size()
	}
	if e := checkBatch(ids, size, maxBytes); e != nil {
		return nil, e
	}
	successful, refused := []any{}, []failed{}
	for _, entry := range entries {
		var e *apiError
		var ok any = map[string]string{"Id": entry.ID}
		switch action {
		case "SendMessageBatch":
			ok, e = s.sendMessage(q, entry)
		case "DeleteMessageBatch":
			e = q.drop(entry.ReceiptHandle)
		default:
			e = q.changeVisibility(entry.ReceiptHandle, seconds(entry.VisibilityTimeout))
		}
		if e != nil {
			refused = append(refused, failed{entry.ID, e.code, e.message, e.sender})
			continue
		}
		successful = append(successful, ok)
	}
	return map[string]any{"Successful": successful, "Failed": refused}, nil
}

// checkBatch returns why a batch is refused as a whole.
func checkBatch(ids []string, size, limit int) *apiError {
	switch {
	case len(ids) == 0:
		return fault("EmptyBatchRequest", "There should be at least one entry in the request.")
	case len(ids) > maxBatch:
		return fault("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10. You have sent %d.",
			len(ids))
	case size > limit:
		return fault("BatchRequestTooLong", "Batch requests cannot be longer than %d bytes. You have sent %d bytes.",
			limit, size)
	}
	seen := make(map[string]bool)
	for _, id := range ids {
		if id == "" || len(id) > 80 || strings.Trim(id, strings.TrimSuffix(attributeNameChars, ".")) != "" {
			return fault("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and "+
				"underscores. It can be at most 80 letters long.")
		}
		if seen[id] {
			return fault("BatchEntryIdsNotDistinct", "Id %s repeated.", id)
		}
		seen[id] = true
	}
	return nil
}

// receiveMessage waits for messages for as long as the request says.
func (s *Server) receiveMessage(ctx context.Context, in *sqsInput) (any, *apiError) {
	n := 1
	if in.MaxNumberOfMessages != nil {
		n = *in.MaxNumberOfMessages
	}
	if n < 1 || n > maxBatch {
		return nil, fault("InvalidParameterValue", "Value %d for parameter MaxNumberOfMessages is invalid. "+
			"Reason: Must be between 1 and 10, if provided.", n)
	}
	if in.WaitTimeSeconds != nil && (*in.WaitTimeSeconds < 0 || *in.WaitTimeSeconds > 20) {
		return nil, fault("InvalidParameterValue", "Value %d for parameter WaitTimeSeconds is invalid. "+
			"Reason: Must be >= 0 and <= 20, if provided.", *in.WaitTimeSeconds)
	}
	began := time.Now()
	for {
		out, wait, e := s.tryReceive(in, n, began)
		if out != nil || e != nil {
			return out, e
		}
		timer := time.NewTimer(wait.time)
		select {
		case <-wait.changed:
		case <-timer.C:
		case <-s.stop:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil, fault("RequestTimeout", "%v", ctx.Err())
		}
	}
}

// waiting is what a long poll waits for.
type waiting struct {
	changed <-chan struct{}
	time    time.Duration
}

// tryReceive takes what is there. The answer is nil while the poll goes on.
func (s *Server) tryReceive(in *sqsInput, n int, began time.Time) (any, waiting, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, e := s.queueOf(in)
	if e != nil {
		return nil, waiting{}, e
	}
	visibility := q.seconds("VisibilityTimeout")
	if in.VisibilityTimeout != nil {
		visibility = seconds(in.VisibilityTimeout)
	}
	poll := q.seconds("ReceiveMessageWaitTimeSeconds")
	if in.WaitTimeSeconds != nil {
		poll = seconds(in.WaitTimeSeconds)
	}
	got, next := s.take(q, n, visibility)
	left := time.Until(began.Add(poll))
	if len(got) == 0 && left > 0 && !s.stopped() {
		if !next.IsZero() {
			left = min(left, max(time.Until(next), time.Millisecond))
		}
		return nil, waiting{q.changed, left}, nil
	}
	out := make([]received, len(got))
	for i, m := range got {
		out[i] = q.answer(m)
	}
	return map[string]any{"Messages": out}, waiting{}, nil
}

func (s *Server) stopped() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// received is a message as it is answered.
type received struct {
	MessageID         string `json:"MessageId"`
	ReceiptHandle     string
	Body              string
	MD5OfBody         string
	Attributes        map[string]string
	MessageAttributes map[string]attribute `json:",omitempty"`
}

// answer returns m with all of its attributes, whatever was asked for.
func (q *queue) answer(m *message) received {
	attrs := map[string]string{
		"ApproximateReceiveCount":          strconv.Itoa(m.count),
		"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.first.UnixMilli(), 10),
		"SentTimestamp":                    strconv.FormatInt(m.sent.UnixMilli(), 10),
		"SenderId":                         Account,
	}
	for k, v := range map[string]string{
		"MessageGroupId": m.group, "MessageDeduplicationId": m.dedup, "DeadLetterQueueSourceArn": m.fromQueue,
	} {
		if v != "" {
			attrs[k] = v
		}
	}
	if m.sequence != 0 {
		attrs["SequenceNumber"] = strconv.FormatInt(m.sequence, 10)
	}
	return received{m.id, q.receipt(m), m.body, sum(m.body), attrs, m.attributes}
}
