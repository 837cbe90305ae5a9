package grpcclient

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
)

// Interceptor is one interceptor for both kinds of calls. Give both halves to a connection.
type Interceptor struct {
	Unary  grpc.UnaryClientInterceptor  // for calls of one request and one answer
	Stream grpc.StreamClientInterceptor // for all other calls
}

// Intercept returns an interceptor that does for each call of a connection made elsewhere what the package comment
// says. Make it the first. A token goes over a connection without TLS only where the options say Insecure: elsewhere
// the call fails. Nil options are defaults.
func Intercept(o *Options) (Interceptor, error) {
	if o == nil {
		o = &Options{}
	}
	i, err := intercept(o)
	if err != nil {
		return Interceptor{}, fmt.Errorf("grpcclient: %w", err)
	}
	return i, nil
}

func intercept(o *Options) (Interceptor, error) {
	if err := o.validate(); err != nil {
		return Interceptor{}, err
	}
	obs, err := newObserver(o)
	if err != nil {
		return Interceptor{}, err
	}
	c := &caller{
		observer: obs,
		tokens:   tokens{source: o.TokenSource, audience: o.Audience, insecure: o.Insecure},
		timeout:  deadline(orDefault(o.Timeout, defaultTimeout, 0)),
		policies: newPolicies(o.Policy, o.Idempotent),
	}
	return Interceptor{Unary: c.unary, Stream: c.stream}, nil
}

// caller makes calls.
type caller struct {
	observer *observer
	tokens   tokens
	policies policies
	timeout  deadline
}

func (c *caller) unary(
	ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker,
	opts ...grpc.CallOption,
) error {
	ctx, cancel := c.timeout.limit(ctx)
	defer cancel()
	return c.policies.do(ctx, method, answer{reply, opts}, func(ctx context.Context, to answer) error {
		a := c.observer.begin(ctx, method, cc)
		opts, err := c.tokens.attach(a.ctx, to.opts)
		if err == nil {
			err = invoke(a.ctx, method, req, to.reply, cc, opts...)
		}
		err = coded(a.ctx, err)
		c.observer.end(&a, err)
		return err
	})
}

func (c *caller) stream(
	ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer,
	opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	s := &stream{observer: c.observer, attempt: c.observer.begin(ctx, method, cc)}
	s.messages = c.observer.messagesOf(s.attempt.method)
	opts, err := c.tokens.attach(s.attempt.ctx, opts)
	if err == nil {
		s.ClientStream, err = open(s.attempt.ctx, desc, cc, method, append(opts, grpc.OnFinish(s.finish))...)
	}
	if err != nil {
		s.finish(err)
		return nil, coded(s.attempt.ctx, err)
	}
	return s, nil
}
