package pubsub

import (
	"context"
	"time"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// watchLag measures how far behind the subscription is, until ctx ends. A broker that cannot say is not asked.
func (s *Subscription) watchLag(ctx context.Context, sub driver.Subscription) {
	lagger, ok := sub.(driver.Lagger)
	if !ok || s.o.LagInterval < 0 {
		return
	}
	defer s.hideLag()
	tick := time.NewTicker(s.o.LagInterval)
	defer tick.Stop()
	for failed := false; ; {
		err := s.measureLag(ctx, lagger)
		if err != nil && !failed && ctx.Err() == nil {
			s.log.WarnContext(ctx, "broker does not say how far behind the subscription is", "error", err)
		}
		failed = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Subscription) measureLag(ctx context.Context, lagger driver.Lagger) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	lag, err := lagger.Lag(ctx)
	if err != nil {
		s.hideLag() // an old figure misleads more than none
		return err
	}
	o := s.client.observer
	o.lag.WithLabelValues(s.topic, s.name).Set(float64(lag.Messages))
	switch {
	case !lag.Oldest.IsZero():
		o.oldest.WithLabelValues(s.topic, s.name).Set(max(time.Since(lag.Oldest), 0).Seconds())
	case lag.Messages == 0:
		o.oldest.WithLabelValues(s.topic, s.name).Set(0)
	default:
		o.oldest.DeleteLabelValues(s.topic, s.name)
	}
	return nil
}

// hideLag removes the figures, which somebody else may go on to measure.
func (s *Subscription) hideLag() {
	s.client.observer.lag.DeleteLabelValues(s.topic, s.name)
	s.client.observer.oldest.DeleteLabelValues(s.topic, s.name)
}
