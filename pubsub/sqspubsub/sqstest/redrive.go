package sqstest

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// redrivePolicy is a queue's attribute RedrivePolicy. The count may be a number or a string.
type redrivePolicy struct {
	DeadLetterTargetArn string          `json:"deadLetterTargetArn"`
	MaxReceiveCount     json.RawMessage `json:"maxReceiveCount"`
}

// checkRedrive returns what is wrong with the policy of a queue that is being made.
func (s *Server) checkRedrive(attributes map[string]string) *apiError {
	text := attributes["RedrivePolicy"]
	if text == "" {
		return nil
	}
	target, count := s.redrive(text)
	if target == nil || count < 1 || count > 1000 {
		return fault("InvalidParameterValue", "Value %s for parameter RedrivePolicy is invalid.", text)
	}
	if target.fifo() != (attributes["FifoQueue"] == "true") {
		return fault("InvalidParameterValue", "Value %s for parameter RedrivePolicy is invalid. "+
			"Reason: Dead-letter queue must be same type of queue as the source.", text)
	}
	return nil
}

func (s *Server) redrive(text string) (*queue, int) {
	var p redrivePolicy
	if json.Unmarshal([]byte(text), &p) != nil {
		return nil, 0
	}
	count, err := strconv.Atoi(strings.Trim(string(p.MaxReceiveCount), `"`))
	if err != nil {
		return nil, 0
	}
	return s.queues[strings.TrimPrefix(p.DeadLetterTargetArn, queueARN(""))], count
}

// bury moves m to the dead-letter queue where it was received as often as the policy allows.
func (s *Server) bury(q *queue, m *message) bool {
	text := q.attributes["RedrivePolicy"]
	if text == "" || m.count == 0 {
		return false
	}
	target, count := s.redrive(text)
	if target == nil || m.count < count {
		return false
	}
	q.remove(m)
	m.fromQueue, m.count, m.visible = queueARN(q.name), 0, time.Now()
	target.push(m)
	return true
}
