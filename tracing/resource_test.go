package tracing_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/mainstay-go/mainstay/tracing"
)

// detector finds an attribute after a while, or returns err.
type detector struct {
	key, value string
	schema     string
	after      time.Duration // which ctx cuts off
	err        error
}

func (d detector) Detect(ctx context.Context) (*resource.Resource, error) {
	if d.after > 0 {
		select {
		case <-time.After(d.after):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return resource.NewWithAttributes(d.schema, attribute.String(d.key, d.value)), d.err
}

// stubborn ignores its context, until it is released.
type stubborn struct{ release chan struct{} }

func (d stubborn) Detect(context.Context) (*resource.Resource, error) {
	<-d.release
	return resource.NewSchemaless(attribute.String("late", "yes")), nil
}

// describe returns the resource that o makes.
func describe(t *testing.T, o tracing.Options) map[string]string {
	t.Helper()
	c := &collector{}
	o.Exporter = c
	p := setup(t, o)
	end(p, 1)
	if err := p.Shutdown(context.WithoutCancel(t.Context())); err != nil || len(c.got()) != 1 {
		t.Fatalf("got %v, %d spans; want nil, 1", err, len(c.got()))
	}
	return attributes(c.got()[0].Resource())
}

func TestInstanceID(t *testing.T) {
	found := detector{key: "service.instance.id", value: "found"}
	t.Run("IsRandomByDefault", func(t *testing.T) {
		first := describe(t, tracing.Options{})["service.instance.id"]
		second := describe(t, tracing.Options{})["service.instance.id"]
		if id, err := uuid.Parse(first); err != nil || id.Version() != 4 {
			t.Errorf("got %q, want a UUID of version 4", first)
		}
		if first == second {
			t.Errorf("got %q twice, want one each", first)
		}
	})
	t.Run("IsADetectorsIfItSaysSo", func(t *testing.T) {
		got := describe(t, tracing.Options{Detectors: []resource.Detector{found}})
		if got := got["service.instance.id"]; got != "found" {
			t.Errorf("got %q, want found", got)
		}
	})
	t.Run("IsTheEnvironmentsIfItSaysSo", func(t *testing.T) {
		t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=said")
		got := describe(t, tracing.Options{Detectors: []resource.Detector{found}})
		if got := got["service.instance.id"]; got != "said" {
			t.Errorf("got %q, want said", got)
		}
	})
	t.Run("IsTheOptionsAboveAll", func(t *testing.T) {
		t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=said")
		if got := describe(t, tracing.Options{InstanceID: "orders-0"})["service.instance.id"]; got != "orders-0" {
			t.Errorf("got %q, want orders-0", got)
		}
	})
}

func TestDetectors(t *testing.T) {
	t.Run("AreLedByTheLast", func(t *testing.T) {
		got := describe(t, tracing.Options{Detectors: []resource.Detector{
			detector{key: "cloud.region", value: "first"}, detector{key: "cloud.region", value: "second"},
			detector{key: "service.name", value: "other"},
		}})
		if got["cloud.region"] != "second" || got["service.name"] != "orders" {
			t.Errorf("got region %q, service %q; want second, orders", got["cloud.region"], got["service.name"])
		}
	})

	t.Run("MayBeOfTheSDK", func(t *testing.T) {
		host, err := os.Hostname()
		if err != nil {
			t.Fatal(err)
		}
		got := describe(t, tracing.Options{Detectors: []resource.Detector{
			tracing.Detector(resource.WithHost(), resource.WithContainer()),
			tracing.Detector(resource.WithAttributes(attribute.String("team", "shop"))),
		}})
		if got["host.name"] != host || got["team"] != "shop" {
			t.Errorf("got host %q, team %q; want %q, shop", got["host.name"], got["team"], host)
		}
	})

	t.Run("MayDisagreeOnTheSchema", func(t *testing.T) {
		j := &journal{}
		got := describe(t, tracing.Options{Logger: j.logger(), Detectors: []resource.Detector{
			detector{key: "cloud.region", value: "here", schema: "https://opentelemetry.io/schemas/1.4.0"},
		}})
		if got["cloud.region"] != "here" || got["telemetry.sdk.language"] != "go" || len(j.lines(t)) != 0 {
			t.Errorf("got %v, log %v; want all attributes, none", got, j.lines(t))
		}
	})

	noZone := fmt.Errorf("%w: no zone", resource.ErrPartialResource)
	for name, c := range map[string]struct {
		bad  detector
		want string // of the bad one's attribute
	}{
		"Fails":               {detector{key: "bad", value: "x", err: errors.New("no permission")}, ""},
		"FindsAPart":          {detector{key: "bad", value: "x", err: noZone}, "x"},
		"HangsTillItsContext": {detector{key: "bad", value: "x", after: time.Hour}, ""},
	} {
		t.Run("StartsWithOneThat/"+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j, start := &journal{}, time.Now()
				got := describe(t, tracing.Options{Logger: j.logger(), Detectors: []resource.Detector{
					c.bad, detector{key: "good", value: "yes", after: 4 * time.Second},
				}})
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("took %v, want 5s at most", took)
				}
				if got["bad"] != c.want || got["good"] != "yes" {
					t.Errorf("got bad %q, good %q; want %q, yes", got["bad"], got["good"], c.want)
				}
				if lines := j.lines(t); len(lines) != 1 || lines[0].Level != "WARN" || lines[0].Error == "" {
					t.Errorf("got log %v, want one warning with the error", lines)
				}
			})
		})
	}

	t.Run("AreBoundedTogether", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release, start, j := make(chan struct{}), time.Now(), &journal{}
			detectors := []resource.Detector{stubborn{release}, stubborn{release}}
			for i := range 10 { // which have answered long before it is their turn
				detectors = append(detectors, detector{key: fmt.Sprint("good", i), value: "yes"})
			}
			got := describe(t, tracing.Options{Logger: j.logger(), Detectors: detectors})
			if took := time.Since(start); took != 5*time.Second || got["late"] != "" {
				t.Errorf("took %v, got %v; want 5s, the good ones alone", took, got)
			}
			for i := range 10 {
				if key := fmt.Sprint("good", i); got[key] != "yes" {
					t.Errorf("%s: got %q, want yes", key, got[key])
				}
			}
			if lines := j.lines(t); len(lines) != 2 {
				t.Errorf("got log %v, want a line on each", lines)
			}
			close(release)
		})
	})

	t.Run("EndWithTheContextOfSetup", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			start := time.Now()
			p, err := tracing.Setup(ctx, &tracing.Options{
				ServiceName: "orders", Logger: (&journal{}).logger(),
				Detectors: []resource.Detector{detector{after: time.Hour}},
			})
			if took := time.Since(start); err != nil || p == nil || took != time.Second {
				t.Errorf("got %v after %v, want nil after 1s", err, took)
			}
		})
	})
}
