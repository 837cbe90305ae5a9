package demo

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mainstay-go/mainstay/examples/shop/contract"
)

// books are the services' own tables, by service, opened by this process to see for itself.
type books map[string]*sql.DB

// tally is what the services' tables say about the orders that were accepted.
type tally struct {
	stored       int // rows in orders, of the orders accepted
	paid         int // of these, those with status paid
	once, twice  map[string]int
	missing      map[string]int // orders without a row, of those that should have one
	stockBalance int            // on hand + reserved, over all products
}

// ledgers are the tables that must hold one row for each order, in the order in which the order passes them.
var ledgers = [...]struct{ service, table, label string }{
	{"inventory", "reservations", "reserved"},
	{"payments", "charges", "charged"},
	{"notifications", "notifications", "notified"},
}

// stock is what inventory's migrations put on the shelves, over all products.
const stock = 3000

// poisonedBy returns the IDs of the accepted orders that are Mallory's.
func poisonedBy(accepted map[string]contract.Order) map[string]bool {
	ids := map[string]bool{}
	for _, o := range accepted {
		if o.CustomerID == Mallory {
			ids[o.ID] = true
		}
	}
	return ids
}

// count counts what b holds of the accepted orders.
func (b books) count(ctx context.Context, accepted map[string]contract.Order) (tally, error) {
	t := tally{once: map[string]int{}, twice: map[string]int{}, missing: map[string]int{}}
	status, err := pairs[string](ctx, b["orders"], `SELECT id, status FROM orders`)
	if err != nil {
		return t, fmt.Errorf("orders: %w", err)
	}
	for _, o := range accepted {
		if s, ok := status[o.ID]; ok {
			t.stored++
			if contract.OrderStatus(s) == contract.Paid {
				t.paid++
			}
		}
	}
	for _, l := range ledgers {
		rows, err := pairs[int](ctx, b[l.service], `SELECT order_id, COUNT(*) FROM `+l.table+` GROUP BY order_id`)
		if err != nil {
			return t, fmt.Errorf("%s: %w", l.service, err)
		}
		for _, o := range accepted {
			switch n := rows[o.ID]; {
			case n == 1:
				t.once[l.label]++
			case n > 1:
				t.twice[l.label]++
			case o.CustomerID != Mallory:
				t.missing[l.label]++
			}
		}
	}
	err = b["inventory"].QueryRowContext(ctx, `SELECT (SELECT SUM(on_hand) FROM stock) +
		(SELECT COALESCE(SUM(quantity), 0) FROM reservations)`).Scan(&t.stockBalance)
	return t, err
}

// pairs returns a query's two columns as a map.
func pairs[V any](ctx context.Context, db *sql.DB, query string) (map[string]V, error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	m := map[string]V{}
	for rows.Next() {
		var k string
		var v V
		if err := rows.Scan(&k, &v); err != nil {
			return nil, err
		}
		m[k] = v
	}
	return m, rows.Err()
}

// line is one line of the table: a number, and what it has to be.
type line struct {
	label string
	got   int
	want  int
	least bool // more than want is fine
}

func (l line) ok() bool { return l.got == l.want || l.least && l.got > l.want }

// verdict is the whole table.
type verdict []line

// judge sets what is against what should be.
func judge(orders int, accepted map[string]contract.Order, t tally, d *deadLetters, duplicates int) verdict {
	poisoned := poisonedBy(accepted)
	good := len(accepted) - len(poisoned)
	v := verdict{
		{label: "orders accepted", got: len(accepted), want: orders},
		{label: "orders stored once", got: t.stored, want: orders},
	}
	for _, l := range ledgers {
		v = append(v, line{label: l.label + " once", got: t.once[l.label], want: good})
	}
	v = append(v, line{label: "marked as paid", got: t.paid, want: good})
	for _, l := range ledgers {
		v = append(v, line{label: l.label + " twice", got: t.twice[l.label]})
	}
	exact, other := d.compare(poisoned)
	return append(v,
		line{label: "stock on hand + reserved", got: t.stockBalance, want: stock},
		line{label: "duplicates dropped", got: duplicates, want: 1, least: true},
		line{label: "dead-lettered, poisoned", got: exact, want: len(poisoned)},
		line{label: "dead-lettered, others", got: other},
		line{label: "lost", got: t.missing[ledgers[len(ledgers)-1].label]},
	)
}

func (v verdict) ok() bool {
	for _, l := range v {
		if !l.ok() {
			return false
		}
	}
	return true
}

// print prints the table, and marks what is off.
func (v verdict) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, l := range v {
		note := ""
		if !l.ok() {
			note = fmt.Sprintf("  <- OFF, want %d", l.want)
		}
		fmt.Fprintf(tw, "  %s\t%d\t%s\n", l.label, l.got, note)
	}
	return tw.Flush()
}

// scrape returns the sum of the samples called metric, over all labels, of the service whose admin port is at addr.
func scrape(ctx context.Context, addr, metric string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("scrape %s: status %d", addr, res.StatusCode)
	}
	return sum(res.Body, metric)
}

// sum adds up the samples called metric in Prometheus' text format.
func sum(r io.Reader, metric string) (int, error) {
	total := 0.0
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		rest, ok := strings.CutPrefix(sc.Text(), metric)
		if !ok || !strings.HasPrefix(rest, "{") && !strings.HasPrefix(rest, " ") {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("scrape: %w", err)
		}
		total += v
	}
	return int(total), sc.Err()
}
