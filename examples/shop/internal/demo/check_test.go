package demo

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/examples/shop/contract"
	"github.com/mainstay-go/mainstay/pubsub"
)

// ten returns ten accepted orders, the last of them Mallory's, and what services that did everything right hold.
func ten(t *testing.T) (map[string]contract.Order, tally, *deadLetters) {
	t.Helper()
	accepted := map[string]contract.Order{}
	for i := range 10 {
		o := contract.Order{ID: fmt.Sprint("o", i), CustomerID: "alice"}
		if i == 9 {
			o.CustomerID = Mallory
		}
		accepted[fmt.Sprint("k", i)] = o
	}
	once := map[string]int{"reserved": 9, "charged": 9, "notified": 9}
	d := &deadLetters{}
	if err := d.handle(t.Context(), &pubsub.Message{Key: "o9"}); err != nil {
		t.Fatal(err)
	}
	return accepted, tally{
		stored: 10, paid: 9, once: once, twice: map[string]int{}, missing: map[string]int{}, stockBalance: stock,
	}, d
}

func TestVerdict(t *testing.T) {
	t.Run("IsFineWhenEveryOrderHadItsEffectOnce", func(t *testing.T) {
		accepted, tl, d := ten(t)
		if v := judge(10, accepted, tl, d, 3); !v.ok() {
			t.Errorf("judge = %+v, want all ok", v)
		}
	})
	type orders = map[string]contract.Order
	faults := map[string]func(orders, *tally, *deadLetters, *int){
		"orders accepted":          func(a orders, _ *tally, _ *deadLetters, _ *int) { delete(a, "k0") },
		"orders stored once":       func(_ orders, tl *tally, _ *deadLetters, _ *int) { tl.stored = 9 },
		"reserved once":            func(_ orders, tl *tally, _ *deadLetters, _ *int) { tl.once["reserved"] = 8 },
		"reserved twice":           func(_ orders, tl *tally, _ *deadLetters, _ *int) { tl.twice["reserved"] = 1 },
		"charged twice":            func(_ orders, tl *tally, _ *deadLetters, _ *int) { tl.twice["charged"] = 1 },
		"notified twice":           func(_ orders, tl *tally, _ *deadLetters, _ *int) { tl.twice["notified"] = 1 },
		"marked as paid":           func(_ orders, tl *tally, _ *deadLetters, _ *int) { tl.paid = 8 },
		"lost":                     func(_ orders, tl *tally, _ *deadLetters, _ *int) { tl.missing["notified"] = 1 },
		"stock on hand + reserved": func(_ orders, tl *tally, _ *deadLetters, _ *int) { tl.stockBalance-- },
		"duplicates dropped":       func(_ orders, _ *tally, _ *deadLetters, n *int) { *n = 0 },
		"dead-lettered, others":    func(_ orders, _ *tally, d *deadLetters, _ *int) { d.keys["o1"] = 1 },
		"dead-lettered, poisoned":  func(_ orders, _ *tally, d *deadLetters, _ *int) { clear(d.keys) },
	}
	for label, spoil := range faults {
		t.Run("IsOffIn/"+label, func(t *testing.T) {
			accepted, tl, d := ten(t)
			duplicates := 3
			spoil(accepted, &tl, d, &duplicates)
			v := judge(10, accepted, tl, d, duplicates)
			if v.ok() {
				t.Fatal("judge says ok, want off")
			}
			var out bytes.Buffer
			if err := v.print(&out); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(out.String()) {
				if strings.Contains(line, label+" ") && strings.Contains(line, "OFF") {
					return
				}
			}
			t.Errorf("no line marks %q as off:\n%s", label, out.String())
		})
	}
}

func TestSum(t *testing.T) {
	const text = `# TYPE dropped_total counter
dropped_total{subscription="a"} 3
dropped_total{subscription="b c"} 4
dropped_total_more 50
dropped_total 1
`
	if got, err := sum(strings.NewReader(text), "dropped_total"); err != nil || got != 8 {
		t.Errorf("sum = %d, %v, want 8, nil", got, err)
	}
	if _, err := sum(strings.NewReader("dropped_total x\n"), "dropped_total"); err == nil {
		t.Error("sum of no number = nil error, want one")
	}
}
