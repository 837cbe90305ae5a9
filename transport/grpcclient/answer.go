package grpcclient

import (
	"reflect"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"
)

// answer is where a call writes what its caller asked for: a reply, and the targets of some of its options.
type answer struct {
	reply any
	opts  []grpc.CallOption
}

// divisible reports whether two tries can write to a, each to an answer of its own.
func (a answer) divisible() bool {
	v := reflect.ValueOf(a.reply)
	return v.Kind() == reflect.Pointer && !v.IsNil()
}

// spare is an answer beside the caller's own, which another try is writing to.
type spare struct {
	answer
	header  metadata.MD
	trailer metadata.MD
	peer    peer.Peer
}

// spares returns a function that makes answers like to, which is divisible, also while a try writes to that: a message
// must not even be asked for its type then.
func spares(to answer) func() *spare {
	if m, ok := to.reply.(proto.Message); ok {
		kind := m.ProtoReflect().Type()
		return func() *spare { return newSpare(kind.New().Interface(), to.opts) }
	}
	kind := reflect.TypeOf(to.reply).Elem()
	return func() *spare { return newSpare(reflect.New(kind).Interface(), to.opts) }
}

// newSpare returns an answer that has reply, and targets of its own for opts.
func newSpare(reply any, opts []grpc.CallOption) *spare {
	s := &spare{answer: answer{reply, slices.Clone(opts)}}
	for i, o := range s.opts {
		switch o.(type) {
		case grpc.HeaderCallOption:
			s.opts[i] = grpc.Header(&s.header)
		case grpc.TrailerCallOption:
			s.opts[i] = grpc.Trailer(&s.trailer)
		case grpc.PeerCallOption:
			s.opts[i] = grpc.Peer(&s.peer)
		}
	}
	return s
}

// deliver copies to the caller's own what came of a call that ended with err. The other try has ended.
func (s *spare) deliver(to answer, err error) {
	for _, o := range to.opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			*o.HeaderAddr = s.header
		case grpc.TrailerCallOption:
			*o.TrailerAddr = s.trailer
		case grpc.PeerCallOption:
			*o.PeerAddr = s.peer
		}
	}
	if err != nil {
		return // there is no reply, as there is none in a call of one try
	}
	if m, ok := to.reply.(proto.Message); ok {
		proto.Reset(m) // of what the slower try may have written
		proto.Merge(m, s.reply.(proto.Message))
		return
	}
	reflect.ValueOf(to.reply).Elem().Set(reflect.ValueOf(s.reply).Elem())
}
