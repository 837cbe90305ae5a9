package correlation

import "context"

type causeKey struct{}

// WithCause returns a copy of ctx that carries the ID of the message that is handled with it: the cause of what is
// published meanwhile, where the correlation ID names what it all began with. An id that is not [Valid] is no cause,
// and none is made up for it: the copy then has no cause, even where ctx has one.
//
// Package pubsub does this for its handlers, and sends the cause as Message.CausationID; call it in handlers of other
// clients. Requests and Inject leave it out: only a message is caused by a message.
func WithCause(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, causeKey{}, ifValid(id))
}

// Cause returns the ID of the message that is handled with ctx, "" where there is none. What it returns is [Valid].
func Cause(ctx context.Context) string {
	id, _ := ctx.Value(causeKey{}).(string)
	return id
}
