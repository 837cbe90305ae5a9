package outbox

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// envelope is what of a message has no column of its own.
type envelope struct {
	Type          string            `json:"type"`
	Source        string            `json:"source,omitempty"`
	Schema        string            `json:"schema,omitempty"`
	ContentType   string            `json:"content_type,omitempty"`
	Time          time.Time         `json:"time"`
	CorrelationID string            `json:"correlation_id"`
	CausationID   string            `json:"causation_id,omitempty"`
	Trace         map[string]string `json:"trace,omitempty"`
	Metadata      map[string]string `json:"metadata,omitempty"`
}

func encode(m *pubsub.Message) (string, error) {
	text, err := json.Marshal(envelope{
		Type: m.Type, Source: m.Source, Schema: m.Schema, ContentType: m.ContentType, Time: m.Time,
		CorrelationID: m.CorrelationID, CausationID: m.CausationID, Trace: m.Trace.Map(), Metadata: m.Metadata,
	})
	return string(text), err
}

// decode fills m from a row's envelope.
func decode(text string, m *pubsub.Message) error {
	var e envelope
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return fmt.Errorf("outbox: envelope: %w", err)
	}
	m.Type, m.Source, m.Schema, m.ContentType, m.Time = e.Type, e.Source, e.Schema, e.ContentType, e.Time
	m.CorrelationID, m.CausationID, m.Metadata = e.CorrelationID, e.CausationID, e.Metadata
	m.Trace = driver.AttributesOf(e.Trace) // not nil, which would be the relay's own
	return nil
}
