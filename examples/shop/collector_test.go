package main

import (
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/examples/shop/contract"
	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/tracing/otlp/otlptest"
)

// grace is mainstay.Run's for the whole stop.
const grace = 25 * time.Second

// TestCollectorAway shows what a collector that is down, or never answers, does to the shop: nothing but lost spans.
func TestCollectorAway(t *testing.T) {
	without := openShop(t, options{traceRatio: -1})
	for name, url := range overOTLP {
		for how, leave := range map[string]func(*otlptest.Receiver){
			"Down":  (*otlptest.Receiver).Close,
			"Hangs": func(r *otlptest.Receiver) { r.Answer(otlptest.Hang) },
		} {
			t.Run(how+"Over"+name, func(t *testing.T) {
				r := otlptest.NewReceiver(t)
				leave(r)
				s := openShop(t, options{otlp: url(r)})
				orders := 0
				t.Run("MakesNoRequestSlower", func(t *testing.T) { orders = compare(t, s, without) })
				t.Run("CountsWhatIsLost", func(t *testing.T) {
					await(t, "a loss to show on /metrics", func() bool {
						s.place(t, order(correlation.New()))
						orders++
						return s.metric(t, "orders", "tracing_spans_lost_total") > 0
					})
				})
				began := time.Now()
				s.stop() // which wants a clean end
				if took := time.Since(began); took > grace {
					t.Errorf("the stop took %v, want %v at most", took, grace)
				}
				if n := len(r.Spans()); n > 0 {
					t.Errorf("%d spans arrived, want none", n)
				}
				// Each order has eight spans in its service before it is answered.
				if got := s.lost("orders"); got < 8*orders {
					t.Errorf("orders lost %d spans of %d orders, want all: %d or more", got, orders, 8*orders)
				}
			})
		}
	}
}

// compare places orders in both shops in turns, and wants those in s to be as fast as those in without. A busy machine
// may spoil a round, but not several.
func compare(t *testing.T, s, without *shop) (orders int) {
	t.Helper()
	const round = 100
	for range 5 {
		var with, base []time.Duration
		for range round {
			with, base = append(with, s.time(t)), append(base, without.time(t))
		}
		orders += round
		slices.Sort(with)
		slices.Sort(base)
		p99 := round*99/100 - 1
		t.Logf("p99 %v, without tracing %v", with[p99], base[p99])
		if with[p99] <= 2*base[p99] {
			return orders
		}
	}
	t.Errorf("the p99 was more than twice that without tracing, five times out of five")
	return orders
}

// time returns how long the shop took to accept an order.
func (s *shop) time(t *testing.T) time.Duration {
	t.Helper()
	req := order(correlation.New())
	began := time.Now()
	if _, err := contract.PlaceOrder.Call(t.Context(), s.caller(), req); err != nil {
		t.Fatalf("place: %v", err)
	}
	return time.Since(began)
}

// metric returns the value of a metric that has no labels, from the admin page of a service.
func (s *shop) metric(t *testing.T, service, name string) float64 {
	t.Helper()
	_, page := get(t, "http://"+s.admin[service]+"/metrics")
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("/metrics of %s has no %s:\n%s", service, name, page)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// lost returns how many spans a service has logged as lost.
func (s *shop) lost(service string) int {
	n := 0
	inAll := regexp.MustCompile(`(\d+) spans lost since the start`)
	for _, line := range s.logs.linesWith("service=" + service) {
		if m := inAll.FindStringSubmatch(line); m != nil {
			total, _ := strconv.Atoi(m[1])
			return total
		}
		for _, spans := range fields(line, "spans") {
			more, _ := strconv.Atoi(spans)
			n += more
		}
	}
	return n
}
