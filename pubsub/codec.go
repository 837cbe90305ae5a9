package pubsub

import (
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/proto"
)

// Codec turns events of type T into payloads and back. Its functions must be safe for concurrent use. The zero value
// is [JSON]'s.
type Codec[T any] struct {
	// ContentType is the media type of the payloads, Message.ContentType. Empty means that messages name none.
	ContentType string
	// Encode returns event as bytes. Nil is allowed where Decode is nil too.
	Encode func(event T) ([]byte, error)
	// Decode returns the event that data holds; it may not keep or change data. Every error is permanent. Nil is allowed
	// where Encode is nil too.
	Decode func(data []byte) (T, error)
}

// JSON encodes events as JSON (RFC 8259), as encoding/json does. Fields that T does not have are ignored, so that
// publishers may add some before every subscriber knows them.
func JSON[T any]() Codec[T] {
	return Codec[T]{
		ContentType: "application/json",
		Encode:      func(event T) ([]byte, error) { return json.Marshal(event) },
		Decode: func(data []byte) (event T, err error) {
			err = json.Unmarshal(data, &event)
			return event, err
		},
	}
}

// Raw passes bytes on as they are: application/octet-stream. A handler must not change or keep them, as with
// Message.Data.
func Raw() Codec[[]byte] {
	same := func(data []byte) ([]byte, error) { return data, nil }
	return Codec[[]byte]{ContentType: "application/octet-stream", Encode: same, Decode: same}
}

// Protobuf encodes events, pointers to generated messages, in protobuf's binary format: application/protobuf.
func Protobuf[T proto.Message]() Codec[T] {
	return Codec[T]{
		ContentType: "application/protobuf",
		Encode:      func(event T) ([]byte, error) { return proto.Marshal(event) },
		Decode: func(data []byte) (T, error) {
			var none T
			if any(none) == nil {
				return none, fmt.Errorf("%T is no generated message", &none)
			}
			event := none.ProtoReflect().Type().New().Interface().(T)
			return event, proto.Unmarshal(data, event)
		},
	}
}
