package pubsubtest

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
)

const lineMark = "conformance\t"

// record is what became of a run's cases.
type record struct {
	mu       sync.Mutex
	outcomes map[string]string // by case
	names    []string
}

func (r *record) note(name, outcome string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.outcomes == nil {
		r.outcomes = make(map[string]string)
	}
	r.outcomes[name] = outcome
	r.names = append(r.names, name)
}

func outcome(t *testing.T) string {
	switch {
	case t.Failed():
		return "fail"
	case t.Skipped():
		return "skipped"
	}
	return "pass"
}

// write prints the lines of adapter, and how many cases there are of each kind.
func (r *record) write(t *testing.T, adapter string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := map[string]int{}
	slices.Sort(r.names)
	for _, name := range r.names {
		o := r.outcomes[name]
		fmt.Fprintf(t.Output(), "%s%s\t%s\t%s\n", lineMark, adapter, name, o)
		kind, _, _ := strings.Cut(o, ":")
		counts[kind]++
	}
	t.Logf("%s: %d cases, passed %d, not able %d, skipped %d, failed %d", adapter, len(r.names), counts["pass"],
		counts["not able"], counts["skipped"], counts["fail"])
}

// WriteTable reads the output of tests and writes a table of the cases of [Run] in it, one row each, and the adapters.
// A case that an adapter has no line for is "-". It returns the cases that failed, as "adapter: case", in order.
// Lines are at most 1 MiB.
func WriteTable(w io.Writer, output io.Reader) (failed []string, err error) {
	outcomes := map[string]map[string]string{} // by case and adapter
	var adapters []string
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		_, line, ok := strings.Cut(lines.Text(), lineMark)
		fields := strings.Split(line, "\t")
		if !ok || len(fields) != 3 {
			continue
		}
		adapter, name, outcome := fields[0], fields[1], fields[2]
		if !slices.Contains(adapters, adapter) {
			adapters = append(adapters, adapter)
		}
		if outcomes[name] == nil {
			outcomes[name] = map[string]string{}
		}
		outcomes[name][adapter] = outcome
		if outcome == "fail" {
			failed = append(failed, adapter+": "+name)
		}
	}
	if err := lines.Err(); err != nil {
		return failed, fmt.Errorf("pubsubtest: read the output of tests: %w", err)
	}
	slices.Sort(adapters)
	slices.Sort(failed)
	return failed, writeTable(w, outcomes, adapters)
}

func writeTable(w io.Writer, outcomes map[string]map[string]string, adapters []string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "case\t%s\n", strings.Join(adapters, "\t"))
	totals := make([]struct{ passed, unable int }, len(adapters))
	names := make([]string, 0, len(outcomes))
	for name := range outcomes {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		row := []string{name}
		for i, a := range adapters {
			o := outcomes[name][a]
			switch {
			case o == "":
				o = "-"
			case o == "pass":
				totals[i].passed++
			case strings.HasPrefix(o, "not able"):
				totals[i].unable++
			}
			row = append(row, o)
		}
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	fmt.Fprintf(tw, "%d cases", len(names))
	for _, t := range totals {
		fmt.Fprintf(tw, "\t%d pass, %d not able", t.passed, t.unable)
	}
	fmt.Fprintln(tw)
	return tw.Flush()
}
