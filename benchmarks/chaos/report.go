package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what came of a trial.
type report struct {
	verdict
	broker      string
	order       string // what promises the order of a key, "" for nothing
	deadLetters int
	dropped     int64 // by the inbox
	again       int64 // published once more
	kills       int
	freezes     int
	stalls      int
	restarts    int
	keeps       bool // the broker has its data after a restart
	took        time.Duration
}

// broken says which promises were.
func (r report) broken() error {
	var all []string
	if r.lost > 0 {
		all = append(all, fmt.Sprintf("%d messages are lost", r.lost))
	}
	if r.repeated > 0 {
		all = append(all, fmt.Sprintf("%d effects are repetitions", r.repeated))
	}
	if r.disorder > 0 && r.order != "" {
		all = append(all, fmt.Sprintf("%d effects are out of order", r.disorder))
	}
	if r.deadLetters > 0 {
		all = append(all, fmt.Sprintf("%d messages are dead letters", r.deadLetters))
	}
	if all == nil {
		return nil
	}
	return errors.New(strings.Join(all, ", "))
}

// print writes the table.
func (r report) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name string, got any, promised string) { fmt.Fprintf(t, "%s\t%v\t%s\n", name, got, promised) }
	order := "not promised"
	if r.order != "" {
		order = "0, " + r.order
	}
	row(r.broker, "got", "promised")
	row("messages sent", r.sent, "")
	row("lost", r.lost, "0")
	row("effects of one message, at most", r.most, "1")
	row("effects beyond the first of a message", r.repeated, "0")
	row("effects out of their key's order", r.disorder, order)
	row("dead letters", r.deadLetters, "0")
	row("redeliveries dropped by the inbox", r.dropped, "")
	row("published again after an error", r.again, "")
	row("consumers killed", r.kills, "")
	row("consumers stopped and continued", r.freezes, "")
	row("consumers that had effects", r.hands, "")
	row("broker stopped and continued", r.stalls, "")
	restarted := ""
	if !r.keeps {
		restarted = "it keeps nothing over a restart"
	}
	row("broker restarted", r.restarts, restarted)
	row("took", r.took.Round(100*time.Millisecond), "")
	if err := t.Flush(); err != nil {
		return err
	}
	for _, e := range r.examples {
		if _, err := fmt.Fprintln(w, "  "+e); err != nil {
			return err
		}
	}
	return nil
}
