package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// of returns the effects of key's messages by one consumer, as they committed.
func of(key, consumer string, seqs ...int64) []effect {
	var all []effect
	for _, seq := range seqs {
		e := event{key, seq}
		all = append(all, effect{message: e.id(), key: key, seq: seq, consumer: consumer, at: time.Unix(seq, 0)})
	}
	return all
}

func TestAudit(t *testing.T) {
	sent := map[string]int64{"a": 3, "b": 2}
	good := append(of("a", "one", 1, 2, 3), of("b", "two", 1, 2)...)
	for name, c := range map[string]struct {
		effects []effect
		want    verdict
		says    string
	}{
		"FindsNothingWrong": {good, verdict{sent: 5, most: 1, hands: 2}, ""},
		"FindsALostMessage": {
			append(of("a", "one", 1, 3), of("b", "two", 1, 2)...),
			verdict{sent: 5, lost: 1, most: 1, hands: 2}, "a/2 has no effect",
		},
		"FindsALostKey": {of("a", "one", 1, 2, 3), verdict{sent: 5, lost: 2, most: 1, hands: 1}, "b/1 has no effect"},
		"FindsASecondEffect": {
			append(of("b", "two", 1, 2, 2, 2), of("a", "one", 1, 2, 3)...),
			verdict{sent: 5, repeated: 2, most: 3, hands: 2}, "b/2 has an effect once more, by two",
		},
		"FindsDisorderWithinOneConsumer": {
			append(of("a", "one", 1, 3, 2), of("b", "two", 1, 2)...),
			verdict{sent: 5, disorder: 1, most: 1, hands: 2}, "a/2 by one",
		},
		"FindsDisorderAcrossConsumers": {
			slices.Concat(of("a", "one", 2, 3), of("a", "two", 1), of("b", "two", 1, 2)),
			verdict{sent: 5, disorder: 1, most: 1, hands: 2}, "a/1 by two",
		},
		// One that comes back is a repetition, whatever has committed before it.
		"DoesNotCallARepetitionDisorder": {
			append(of("a", "one", 1, 2, 3, 1), of("b", "two", 1, 2)...),
			verdict{sent: 5, repeated: 1, most: 2, hands: 2}, "a/1 has an effect once more",
		},
		// Two that were overtaken by the same one are two.
		"CountsEachThatWasOvertaken": {
			append(of("a", "one", 3, 1, 2), of("b", "two", 1, 2)...),
			verdict{sent: 5, disorder: 2, most: 1, hands: 2}, "a/2 by one",
		},
		// What was sent and not confirmed may have an effect, and need not.
		"LeavesOutWhatWasNotConfirmed": {
			append(of("a", "one", 1, 2, 3, 4), of("b", "two", 1, 2)...), verdict{sent: 5, most: 1, hands: 2}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := audit(sent, c.effects)
			examples := strings.Join(got.examples, "\n")
			got.examples = nil
			if got.sent != c.want.sent || got.lost != c.want.lost || got.repeated != c.want.repeated ||
				got.most != c.want.most || got.disorder != c.want.disorder || got.hands != c.want.hands {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if !strings.Contains(examples, c.says) {
				t.Errorf("examples: got %q, want %q in it", examples, c.says)
			}
			if c.says == "" && examples != "" {
				t.Errorf("examples: got %q, want none", examples)
			}
		})
	}
}

func TestReport(t *testing.T) {
	whole := report{verdict: verdict{sent: 5, most: 1}, broker: "b", order: "by magic"}
	for name, c := range map[string]struct {
		change func(*report)
		want   string
	}{
		"KeptPromises":       {func(*report) {}, ""},
		"ALostMessage":       {func(r *report) { r.lost = 1 }, "1 messages are lost"},
		"ASecondEffect":      {func(r *report) { r.repeated = 2 }, "2 effects are repetitions"},
		"Disorder":           {func(r *report) { r.disorder = 3 }, "3 effects are out of order"},
		"DisorderUnpromised": {func(r *report) { r.disorder, r.order = 3, "" }, ""},
		"ADeadLetter":        {func(r *report) { r.deadLetters = 4 }, "4 messages are dead letters"},
	} {
		t.Run(name, func(t *testing.T) {
			r := whole
			c.change(&r)
			got := ""
			if err := r.broken(); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			var table strings.Builder
			if err := r.print(&table); err != nil {
				t.Fatal(err)
			}
			promise := "0, by magic"
			if r.order == "" {
				promise = "not promised"
			}
			if !strings.Contains(table.String(), promise) {
				t.Errorf("table: got %q, want %q in it", table.String(), promise)
			}
		})
	}
}
