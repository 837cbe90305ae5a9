package natspubsub

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// confirm acknowledges ds and returns once the server has answered for each. All answers come to one inbox.
func (s *subscription) confirm(ctx context.Context, ds []*driver.Delivery) error {
	if len(ds) == 0 {
		return nil
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
		if err := s.b.nc.PublishRequest(d.Handle.(string), inbox, []byte("+ACK")); err != nil {
			return fmt.Errorf("natspubsub: %w", err)
		}
	}
	for i := range ds {
		select {
		case <-ctx.Done():
			return fmt.Errorf("natspubsub: %d of %d acknowledgements are confirmed: %w", i, len(ds), ctx.Err())
		case m := <-answers:
			if code := status(m); code == "503" {
				return fmt.Errorf("natspubsub: acknowledgement: %w", nats.ErrNoResponders)
			}
		}
	}
	return nil
}
