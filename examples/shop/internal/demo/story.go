package demo

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/mainstay-go/mainstay/examples/shop/internal/spanfile"
)

// tell prints every hop of one trace, the first one's start being zero: who did what, when, and for how long. The
// statements that a hop sent to its database are summed up in a line after it.
func tell(w io.Writer, spans []spanfile.Span) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "  at\ttook\tservice\thop\t")
	for _, s := range spans {
		if s.Attrs["db.system.name"] != "" {
			continue
		}
		n, took := statements(spans, s.SpanID)
		sql := ""
		if n > 0 {
			sql = fmt.Sprintf("SQL: %d in %s", n, ms(took))
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\t%s %s\t%s\n",
			ms(s.Start.Sub(spans[0].Start)), ms(s.Duration), s.Service, s.Kind, s.Name, sql)
	}
	return tw.Flush()
}

// statements returns how many statements the span with that ID sent to its database, and how long they took.
func statements(spans []spanfile.Span, parent string) (n int, took time.Duration) {
	for _, s := range spans {
		if s.ParentID == parent && s.Attrs["db.system.name"] != "" {
			n++
			took += s.Duration
		}
	}
	return n, took
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond)) }
