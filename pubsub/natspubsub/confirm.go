package natspubsub

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// confirm is answer that returns once the server has applied it to each of ds. All confirmations come to one inbox.
// Under a context that has ended it sends nothing.
func (s *subscription) confirm(ctx context.Context, ds []*driver.Delivery, what string) error {
	if len(ds) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("natspubsub: none of %d answers is confirmed: %w", len(ds), err)
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	answers := make(chan *nats.Msg, len(ds))
	inbox := s.b.nc.NewInbox()
	sub, err := s.b.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return fmt.Errorf("natspubsub: %w", err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // it fails on a connection that is closed, which has forgotten it
	for _, d := range ds {
		if err := s.b.nc.PublishRequest(replyOf(d), inbox, []byte(what)); err != nil {
			return fmt.Errorf("natspubsub: %w", err)
		}
	}
	for i := range ds {
		select {
		case <-ctx.Done():
			return fmt.Errorf("natspubsub: %d of %d answers are confirmed: %w", i, len(ds), ctx.Err())
		case m := <-answers:
			if code := status(m); code == "503" {
				return fmt.Errorf("natspubsub: %w", nats.ErrNoResponders)
			}
		}
	}
	return nil
}
