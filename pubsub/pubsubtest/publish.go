package pubsubtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/resilience"
)

var publishTests = []test{
	{name: "CarriesBytesAndAttributes", run: carriesBytesAndAttributes},
	{name: "CarriesAnEmptyMessage", run: carriesAnEmptyMessage},
	{name: "LeavesTheMessageToItsOwner", run: leavesTheMessageToItsOwner},
	{name: "KeepsOrderWithinKey", run: keepsOrderWithinKey},
	{name: "TakesLargeBatches", run: takesLargeBatches},
	{name: "RefusesWhatIsTooLarge", needs: []ability{limit}, run: refusesWhatIsTooLarge},
	{name: "EndsWithItsContext", run: endsWithItsContext},
	{name: "TakesAnEmptyBatch", run: takesAnEmptyBatch},
	{name: "CarriesALargePayload", run: carriesALargePayload},
	{name: "CarriesManyAttributes", run: carriesManyAttributes},
	{name: "CarriesALongKey", run: carriesALongKey},
	{name: "CarriesALongValue", run: carriesALongValue},
	{name: "TakesTheSameMessageAgain", run: takesTheSameMessageAgain},
	{name: "KeepsTopicsApart", run: keepsTopicsApart},
	{name: "TakesManyCallersAtOnce", run: takesManyCallersAtOnce},
}

func carriesBytesAndAttributes(f *fixture) {
	r := f.subscribe("one")
	m := message("id with spaces, 100% and \"quotes\"", "schlüssel/ключ")
	m.Data = []byte("\x00\xff\r\n\r\n{}")
	for name, value := range map[string]string{
		"content-type":            "application/json; charset=utf-8",
		"traceparent":             "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"tracestate":              "vendor=opaque,other=a%20b",
		"ce-correlationid":        "c-1",
		"user":                    "  padded, Größe, 日本, %41 ",
		"with_underscore.and.dot": "x",
		"empty":                   "",
	} {
		m.Attributes.Set(name, value)
	}
	f.publish(m)
	d := r.receive(1)[0]
	if !slices.Equal(d.Data, m.Data) {
		f.Errorf("Data = %q, want %q", d.Data, m.Data)
	}
	want := m.Attributes.Map()
	// An empty value and none are the same to a reader of a map; brokers may drop it.
	delete(want, "empty")
	got := d.Attributes.Map()
	delete(got, "empty")
	if !maps.Equal(got, want) {
		f.Errorf("Attributes = %q,\nwant %q", got, want)
	}
	if d.Position == "" {
		f.Error("Position is empty, want the message's place in the broker")
	}
	if d.Attempt != 0 && d.Attempt != 1 {
		f.Errorf("Attempt = %d, want 1, or 0 from a broker that does not count", d.Attempt)
	}
	r.ack(d)
}

func carriesAnEmptyMessage(f *fixture) {
	r := f.subscribe("one")
	m := message("empty", "")
	m.Data = nil
	f.publish(m)
	d := r.receive(1)[0]
	if len(d.Data) != 0 || d.Attributes.Get("ce-id") != "empty" {
		f.Errorf("received %q with ID %q, want no data with ID \"empty\"", d.Data, d.Attributes.Get("ce-id"))
	}
	r.ack(d)
}

func leavesTheMessageToItsOwner(f *fixture) {
	r := f.subscribe("one")
	m := message("mine", "")
	f.publish(m)
	m.Data[0] = 'X'
	if d := r.receive(1)[0]; string(d.Data) != "mine" {
		f.Errorf("received %q, want what was there when Publish returned", d.Data)
	}
}

func keepsOrderWithinKey(f *fixture) {
	r := f.subscribe("one")
	const perKey = 20
	keys := []string{"a", "b", "c"}
	for i := 0; i < perKey; i += 2 {
		var ms []driver.Message
		for _, k := range keys {
			ms = append(ms, message(fmt.Sprintf("%s-%02d", k, i), k), message(fmt.Sprintf("%s-%02d", k, i+1), k))
		}
		f.publish(ms...)
	}
	// Acknowledged as they come: a broker may have so many of a key out at a time, and no more.
	all := f.drain(perKey*len(keys), r)
	for _, k := range keys {
		var got []string
		for _, id := range all {
			if strings.HasPrefix(id, k) {
				got = append(got, id)
			}
		}
		if len(got) != perKey || !slices.IsSorted(got) {
			f.Errorf("key %s arrived as %v, want %d in order", k, got, perKey)
		}
	}
}

func takesLargeBatches(f *fixture) {
	r := f.subscribe("one")
	ms := make([]driver.Message, 700)
	for i := range ms {
		ms[i] = message(fmt.Sprintf("%03d", i), "k")
	}
	f.publish(ms...)
	if got := f.drain(len(ms), r); !slices.IsSorted(got) || len(slices.Compact(got)) != len(ms) {
		f.Errorf("received %v, want 000 to 699 in order, each once", got)
	}
}

func refusesWhatIsTooLarge(f *fixture) {
	r := f.subscribe("one")
	large := message("large", "")
	large.Data = make([]byte, f.MaxBytes)
	err := f.broker.Publish(f.Context(), f.topic, []driver.Message{large})
	var tooLarge *driver.TooLargeError
	if !errors.As(err, &tooLarge) || !resilience.IsPermanent(err) {
		f.Errorf("Publish of %d bytes = %v, want a permanent *TooLargeError", f.MaxBytes, err)
	}
	// In a batch it costs itself alone.
	err = f.broker.Publish(f.Context(), f.topic, []driver.Message{message("1", ""), large, message("2", "")})
	var partly *driver.PublishError
	if !errors.As(err, &partly) || !slices.Equal(partly.Indexes, []int{1}) || !errors.As(err, &tooLarge) {
		f.Errorf("Publish of a batch = %v, want a *PublishError of index 1 with a *TooLargeError", err)
	}
	ds := r.receive(2)
	if got := ids(ds); !slices.Equal(got, []string{"1", "2"}) {
		f.Errorf("received %v, want the two that fit", got)
	}
	r.ack(ds...)
}

func endsWithItsContext(f *fixture) {
	ctx, cancel := context.WithCancel(f.Context())
	cancel()
	if err := f.broker.Publish(ctx, f.topic, []driver.Message{message("late", "")}); err == nil {
		f.Error("Publish with an ended context = nil, want an error")
	}
}

func takesAnEmptyBatch(f *fixture) { f.publish() }

// arrives publishes m and returns it as it is received.
func (f *fixture) arrives(m driver.Message) *driver.Delivery {
	f.Helper()
	r := f.subscribe("one")
	f.publish(m)
	d := r.receive(1)[0]
	r.ack(d)
	return d
}

func carriesALargePayload(f *fixture) {
	m := message("large", "k")
	m.Data = make([]byte, 180_000) // what every broker takes, in base64 within 256 KiB, too; more is the limit's matter
	for i := range m.Data {
		m.Data[i] = byte(i * 7)
	}
	if d := f.arrives(m); !slices.Equal(d.Data, m.Data) {
		f.Errorf("received %d bytes, want the %d that were published", len(d.Data), len(m.Data))
	}
}

func carriesManyAttributes(f *fixture) {
	m := message("many", "k")
	for i := range 50 {
		m.Attributes.Set(fmt.Sprintf("attribute-%02d", i), fmt.Sprintf("value %d", i))
	}
	if d := f.arrives(m); !maps.Equal(d.Attributes.Map(), m.Attributes.Map()) {
		f.Errorf("received %d attributes %q, want %d", len(d.Attributes), d.Attributes, len(m.Attributes))
	}
}

// carriesALongKey tests the longest that package pubsub lets through.
func carriesALongKey(f *fixture) {
	key := strings.Repeat("k", 1024)
	if d := f.arrives(message("1", key)); d.Attributes.Get("ce-partitionkey") != key {
		f.Errorf("the key is %q, want 1024 times k", d.Attributes.Get("ce-partitionkey"))
	}
}

func carriesALongValue(f *fixture) {
	m := message("1", "")
	m.Attributes.Set("long", strings.Repeat("v", 8<<10))
	if d := f.arrives(m); d.Attributes.Get("long") != m.Attributes.Get("long") {
		f.Errorf("the value has %d bytes, want 8192", len(d.Attributes.Get("long")))
	}
}

// takesTheSameMessageAgain is what a publisher does that knows of no confirmation: the broker may keep both or one.
func takesTheSameMessageAgain(f *fixture) {
	r := f.subscribe("one")
	f.publish(message("1", "k"))
	f.publish(message("1", "k"), message("2", "k"))
	for seen := ""; seen != "2"; {
		d := r.receive(1)[0]
		seen = string(d.Data)
		r.ack(d)
	}
}

func keepsTopicsApart(f *fixture) {
	r := f.subscribe("one")
	other := f.topic + ".other"
	f.declare(other)
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	// The same ID is another message on another topic, also to a broker that deduplicates.
	if err := f.broker.Publish(ctx, other, []driver.Message{message("1", "")}); err != nil {
		f.Fatalf("Publish: %v", err)
	}
	f.publish(message("1", ""))
	r.receivesAll("1")
	r.receiveNone(f.Lease)
}

func takesManyCallersAtOnce(f *fixture) {
	r := f.subscribeFor("one", longLease)
	const callers, each = 8, 15
	ended := make(chan error, callers)
	for c := range callers {
		go func() {
			ctx, cancel := context.WithTimeout(f.Context(), patience)
			defer cancel()
			for i := range each {
				m := message(fmt.Sprintf("%02d-%02d", c, i), fmt.Sprintf("%02d", c))
				if err := f.broker.Publish(ctx, f.topic, []driver.Message{m}); err != nil {
					ended <- err
					return
				}
			}
			ended <- nil
		}()
	}
	for range callers {
		if err := <-ended; err != nil {
			f.Errorf("Publish: %v", err)
		}
	}
	f.inOrder(f.drain(callers*each, r))
}
