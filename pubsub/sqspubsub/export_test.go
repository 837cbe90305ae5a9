package sqspubsub

import "time"

// PlainName is what a stranger has to know.
func PlainName(s string) string { return plainName(s) }

// CheckEvery sets how often subscriptions look whether somebody deleted what they need.
func (b *Broker) CheckEvery(d time.Duration) { b.checkEvery = d }
