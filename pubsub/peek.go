package pubsub

import (
	"context"
	"errors"
	"fmt"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// browsePage is how many messages are asked for at once, which bounds what is in memory.
const browsePage = 100

// Peek returns the oldest messages of a topic, at most n, and leaves them where they are. It is meant for dead-letter
// topics: [Message.DeadLetter] says why each is there. How far back another topic reaches is the broker's matter. All n
// are in memory at once. Where the broker cannot browse, the error matches [errors.ErrUnsupported].
func Peek(ctx context.Context, c *Client, topic string, n int) ([]*Message, error) {
	ms, err := peek(ctx, c, topic, n)
	if err != nil {
		return nil, fmt.Errorf("pubsub: peek %q: %w", topic, err)
	}
	return ms, nil
}

func peek(ctx context.Context, c *Client, topic string, n int) ([]*Message, error) {
	if n < 1 {
		return nil, &InvalidError{"n", "must be positive"}
	}
	b, err := newBrowsing(c, topic)
	if err != nil {
		return nil, err
	}
	var ms []*Message
	for len(ms) < n {
		ds, err := b.next(ctx, min(n-len(ms), browsePage))
		if err != nil || len(ds) == 0 {
			return ms, err
		}
		for _, d := range ds {
			ms = append(ms, decode(topic, "", d, c.traceFields))
		}
	}
	return ms, nil
}

// browsing walks through a topic.
type browsing struct {
	driver.Browser
	topic  string
	cursor string
}

func newBrowsing(c *Client, topic string) (*browsing, error) {
	if c.err != nil {
		return nil, c.err
	}
	if err := checkTopic("topic", topic); err != nil {
		return nil, err
	}
	b, ok := c.broker.(driver.Browser)
	if !ok {
		return nil, fmt.Errorf("the broker cannot look at a topic without consuming it: %w", errors.ErrUnsupported)
	}
	return &browsing{Browser: b, topic: topic}, nil
}

// next returns nothing at the end.
func (b *browsing) next(ctx context.Context, n int) ([]*driver.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ds, next, err := b.Browse(ctx, b.topic, b.cursor, n)
	if err != nil {
		return nil, fmt.Errorf("browse: %w", err)
	}
	if len(ds) > 0 && next == b.cursor {
		return nil, fmt.Errorf("browse: the broker's cursor %q does not move on", next)
	}
	b.cursor = next
	return ds, nil
}
