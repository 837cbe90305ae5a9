package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// scraped is how long TestPrometheus has the shop scraped, every two seconds.
const scraped = time.Minute

// TestPrometheus has a real Prometheus scrape the services while orders flow. scripts/services starts one.
func TestPrometheus(t *testing.T) {
	p := openPrometheus(t)
	s := openShop(t, options{})
	p.check(t, s)
	before := p.errors(t)
	p.introduce(t, s)
	orders := 1 + s.orderFor(t, scraped) // the one before showed promtool all there is

	await(t, "Prometheus to count every order", func() bool {
		n := p.query(t, `sum(http_server_request_duration_seconds_count{SHOP,
			http_route="/orders",http_response_status_code="201"})`)
		return n[""] == float64(orders)
	})
	t.Run("EveryScrapeSucceeds", func(t *testing.T) {
		for service, target := range p.targets(t) {
			if target.Health != "up" || target.LastError != "" {
				t.Errorf("target %s is %s: %s, want up", service, target.Health, target.LastError)
			}
		}
		p.want(t, `min by (service) (min_over_time(up{SHOP}[10m]))`, func(v float64) bool { return v == 1 })
		p.want(t, `sum by (service) (count_over_time(up{SHOP}[10m]))`, func(v float64) bool { return v >= 20 })
	})
	t.Run("EverySampleIsTaken", func(t *testing.T) {
		p.want(t, `min by (service) (scrape_samples_scraped{SHOP})`, func(v float64) bool { return v > 100 })
		p.want(t, `max by (service) (max_over_time((scrape_samples_scraped{SHOP} -
			scrape_samples_post_metric_relabeling{SHOP})[10m:1s]))`, func(v float64) bool { return v == 0 })
		for name, n := range p.errors(t) {
			if n != before[name] {
				t.Errorf("%s = %v, want %v as before", name, n, before[name])
			}
		}
	})
	s.stop() // spans are flushed then
	t.Run("ExemplarsLeadToTraces", func(t *testing.T) { p.checkExemplars(t, s) })
}

// orderFor places orders for a while, and returns how many.
func (s *shop) orderFor(t *testing.T, d time.Duration) (orders int) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); orders++ {
		s.place(t, order(correlation.New()))
		<-tick.C
	}
	return orders
}

// scraper is a Prometheus server that scrapes what files in a folder name.
type scraper struct {
	url, targetsDir, promtool string
	shop                      string // what this test's shop is labelled with
}

func openPrometheus(t *testing.T) *scraper {
	t.Helper()
	p := &scraper{
		url: os.Getenv("MAINSTAY_TEST_PROMETHEUS"), targetsDir: os.Getenv("MAINSTAY_TEST_PROMETHEUS_TARGETS"),
		promtool: os.Getenv("MAINSTAY_TEST_PROMTOOL"), shop: correlation.New(),
	}
	if p.url == "" || p.targetsDir == "" || p.promtool == "" {
		if os.Getenv("CI") == "true" && os.Getenv("MAINSTAY_TEST_REAL") == "1" {
			t.Fatal("MAINSTAY_TEST_PROMETHEUS, MAINSTAY_TEST_PROMETHEUS_TARGETS and MAINSTAY_TEST_PROMTOOL are not all set")
		}
		t.Skip("needs MAINSTAY_TEST_PROMETHEUS and the two beside it: see scripts/services")
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return p
}

// introduce has the services scraped until the test ends.
func (p *scraper) introduce(t *testing.T, s *shop) {
	t.Helper()
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	var groups []group
	for _, name := range names() {
		groups = append(groups, group{[]string{s.admin[name]}, map[string]string{"service": name, "shop": p.shop}})
	}
	data, err := json.Marshal(groups)
	if err != nil {
		t.Fatal(err)
	}
	// Prometheus may look while a file is being written, so it gets its name last.
	half, file := filepath.Join(p.targetsDir, p.shop), filepath.Join(p.targetsDir, p.shop+".json")
	if err := os.WriteFile(half, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(half, file); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(file) })
	await(t, "Prometheus to scrape every service", func() bool {
		return len(p.query(t, `sum by (service) (up{SHOP})`)) == len(names())
	})
}

// check wants promtool to find no fault with what the services show.
func (p *scraper) check(t *testing.T, s *shop) {
	t.Helper()
	s.completeOrder(t) // so that there is all of it
	for _, name := range names() {
		_, page := get(t, "http://"+s.admin[name]+"/metrics")
		cmd := exec.CommandContext(t.Context(), p.promtool, "check", "metrics")
		cmd.Stdin = strings.NewReader(page)
		if out, err := cmd.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
			t.Errorf("promtool check metrics of %s: %v: %s\nwant nothing", name, err, out)
		}
	}
}

// get asks the API at path, and decodes the data of its answer.
func (p *scraper) get(t *testing.T, path string, values url.Values, data any) {
	t.Helper()
	status, answer := get(t, p.url+"/api/v1/"+path+"?"+values.Encode())
	full := struct {
		Data any `json:"data"`
	}{data}
	if err := json.Unmarshal([]byte(answer), &full); err != nil || status != http.StatusOK {
		t.Fatalf("prometheus: %s %v: %d, %v: %s", path, values, status, err, answer)
	}
}

// query returns the values of an expression by service. SHOP in it stands for this test's.
func (p *scraper) query(t *testing.T, expression string) map[string]float64 {
	t.Helper()
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any // time, and the value as a string
		}
	}
	p.get(t, "query", url.Values{"query": {p.mine(expression)}}, &data)
	values := map[string]float64{}
	for _, r := range data.Result {
		text, _ := r.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		values[r.Metric["service"]] = v
	}
	return values
}

func (p *scraper) mine(expression string) string {
	return strings.ReplaceAll(expression, "SHOP", `shop="`+p.shop+`"`)
}

// want wants an expression to have a value for each service, and each to be right.
func (p *scraper) want(t *testing.T, expression string, right func(float64) bool) {
	t.Helper()
	values := p.query(t, expression)
	t.Logf("%s: %v", expression, values)
	for _, name := range names() {
		if v, ok := values[name]; !ok || !right(v) {
			t.Errorf("%s of %s = %v (%v), want another value", expression, name, v, ok)
		}
	}
}

type target struct {
	Labels            map[string]string
	Health, LastError string
}

// targets returns the services as Prometheus sees them.
func (p *scraper) targets(t *testing.T) map[string]target {
	t.Helper()
	var data struct{ ActiveTargets []target }
	p.get(t, "targets", url.Values{"state": {"active"}}, &data)
	targets := map[string]target{}
	for _, tg := range data.ActiveTargets {
		if tg.Labels["shop"] == p.shop {
			targets[tg.Labels["service"]] = tg
		}
	}
	if len(targets) != len(names()) {
		t.Errorf("%d targets, want the %d services", len(targets), len(names()))
	}
	return targets
}

// errors returns what Prometheus counts of scrapes that it did not take as they were.
func (p *scraper) errors(t *testing.T) map[string]float64 {
	t.Helper()
	_, page := get(t, p.url+"/metrics")
	lines := regexp.MustCompile(`(?m)^(prometheus_target_scrapes_\w+_total|` +
		`prometheus_tsdb_exemplar_out_of_order_exemplars_total) (\S+)$`)
	counts := map[string]float64{}
	for _, m := range lines.FindAllStringSubmatch(page, -1) {
		v, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		counts[m[1]] = v
	}
	if len(counts) < 5 {
		t.Fatalf("Prometheus counts %v, want its errors of scrapes among them", counts)
	}
	return counts
}

// checkExemplars wants Prometheus to have exemplars of every service, each of a trace of the shop.
func (p *scraper) checkExemplars(t *testing.T, s *shop) {
	t.Helper()
	traces := map[string]bool{}
	for _, sp := range s.spans.list() {
		traces[sp.TraceID] = true
	}
	var series []struct {
		SeriesLabels map[string]string
		Exemplars    []struct{ Labels map[string]string }
	}
	now := time.Now()
	p.get(t, "query_exemplars", url.Values{
		"query": {p.mine(`{SHOP}`)}, "start": {now.Add(-time.Hour).Format(time.RFC3339)},
		"end": {now.Add(time.Minute).Format(time.RFC3339)},
	}, &series)
	count := map[string]int{}
	for _, one := range series {
		for _, e := range one.Exemplars {
			count[one.SeriesLabels["service"]]++
			if !traces[e.Labels["trace_id"]] {
				t.Errorf("an exemplar of %v has trace %q, want one of the shop's", one.SeriesLabels, e.Labels["trace_id"])
			}
		}
	}
	t.Logf("exemplars: %v", count)
	for _, name := range names() {
		if count[name] == 0 {
			t.Errorf("no exemplar of %s, want some", name)
		}
	}
}
