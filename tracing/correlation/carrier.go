package correlation

import "context"

// Carrier is where an ID travels: http.Header is one, and so is whatever OpenTelemetry propagates with. Get returns ""
// for what is not there; Set replaces.
type Carrier interface {
	Get(key string) string
	Set(key, value string)
}

// Inject writes the ID of ctx to c under [Key]. It leaves c as it is where ctx has none.
func Inject(ctx context.Context, c Carrier) {
	if id := FromContext(ctx); id != "" {
		c.Set(Key, id)
	}
}

// Extract returns a copy of ctx that carries the ID of c, or a new one where c has none that is [Valid].
func Extract(ctx context.Context, c Carrier) context.Context {
	return NewContext(ctx, c.Get(Key))
}
