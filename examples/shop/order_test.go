package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// TestOrder follows one order through all services.
func TestOrder(t *testing.T) { followOrder(t, options{}) }

// TestOrderOnRealServers does the same on a NATS server and a PostgreSQL server that run elsewhere.
func TestOrderOnRealServers(t *testing.T) {
	o := options{broker: os.Getenv("MAINSTAY_TEST_NATS"), db: os.Getenv("MAINSTAY_TEST_POSTGRES")}
	if o.broker == "" || o.db == "" {
		if os.Getenv("CI") == "true" && os.Getenv("MAINSTAY_TEST_REAL") == "1" {
			t.Fatal("MAINSTAY_TEST_NATS and MAINSTAY_TEST_POSTGRES are not both set")
		}
		t.Skip("needs MAINSTAY_TEST_NATS and MAINSTAY_TEST_POSTGRES, the URLs of real servers")
	}
	followOrder(t, o)
}

func followOrder(t *testing.T, o options) {
	s := openShop(t, o)
	placed := s.completeOrder(t)
	metrics := map[string]string{}
	for _, name := range names() {
		_, metrics[name] = get(t, "http://"+s.admin[name]+"/metrics")
	}
	s.stop() // spans are flushed then

	t.Run("LeavesOneTraceFromTheEdgeToTheLastConsumer", func(t *testing.T) { checkTrail(t, s.spans.list()) })
	t.Run("CarriesItsCorrelationIDInEveryLogLine", func(t *testing.T) { checkLogs(t, s, placed.ID) })
	t.Run("TellsWhichEventCausedWhich", func(t *testing.T) { checkCauses(t, s, placed.ID) })
	t.Run("ShowsInTheMetricsOfEachService", func(t *testing.T) { checkMetrics(t, metrics) })
}

func checkLogs(t *testing.T, s *shop, orderID string) {
	services := map[string]bool{}
	service := regexp.MustCompile(`service=(\w+)`)
	for _, line := range append(s.logs.linesWith(customerTrace), s.logs.linesWith(orderID)...) {
		if strings.Contains(line, "/orders/"+orderID) || strings.Contains(line, "GET /orders/{id}") {
			continue // this test's own questions, which have IDs of their own
		}
		if strings.Count(line, correlation.Attr+"="+customerCorrelation) != 1 {
			t.Errorf("not exactly one correlation ID in: %s", line)
		}
		if m := service.FindStringSubmatch(line); m != nil {
			services[m[1]] = true
		}
	}
	for _, name := range names() {
		if !services[name] {
			t.Errorf("%s wrote no line about the order", name)
		}
	}
}

// checkCauses follows the order's events backwards by the lines of those who handled them.
func checkCauses(t *testing.T, s *shop, orderID string) {
	attr := func(line, key string) string {
		for _, l := range s.logs.linesWith(line) {
			if strings.Contains(l, orderID) {
				return strings.Join(fields(l, key), " and ")
			}
		}
		return "no line"
	}
	created := attr("stock is set aside", "message_id")
	reserved := attr("customer is charged", "message_id")
	for line, want := range map[string]string{
		"stock is set aside":   "", // a request did
		"customer is charged":  created,
		"customer is notified": reserved,
		"order is paid":        reserved,
	} {
		if got := attr(line, "caused_by"); got != want {
			t.Errorf("%q was caused by %q, want %q", line, got, want)
		}
	}
	if created == "" || reserved == "" || created == reserved {
		t.Errorf("order.created is %q, stock.reserved %q, want two IDs", created, reserved)
	}
}

func checkMetrics(t *testing.T, metrics map[string]string) {
	const sql = `db_client_operation_duration_seconds_count{`
	const build, lost = `build_info{`, `tracing_spans_lost_total 0`
	for name, wants := range map[string][]string{
		"orders": {
			`http_server_request_duration_seconds_count{http_request_method="POST",http_response_status_code="201",http_route="/orders"} 1`,
			`http_client_request_duration_seconds_count{`,
			`rpc_client_call_duration_seconds_count{`,
			`messaging_client_operation_duration_seconds_count{`,
			`messaging_process_duration_seconds_count{`,
			sql,
		},
		"users":         {`http_server_request_duration_seconds_count{`, sql},
		"catalog":       {`rpc_server_call_duration_seconds_count{`, sql},
		"inventory":     {`messaging_process_duration_seconds_count{`, `messaging_client_operation_duration_seconds_count{`, sql},
		"payments":      {`messaging_process_duration_seconds_count{`, `messaging_client_operation_duration_seconds_count{`, sql},
		"notifications": {`messaging_process_duration_seconds_count{`, sql},
	} {
		for _, want := range append(wants, build, lost) {
			if !strings.Contains(metrics[name], "\n"+want) {
				t.Errorf("/metrics of %s has no line %s", name, want)
			}
		}
		if t.Failed() {
			t.Logf("/metrics of %s:\n%s", name, metrics[name])
		}
	}
}
