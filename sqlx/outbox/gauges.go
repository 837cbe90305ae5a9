package outbox

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/metrics"
)

// gauges shows how much is waiting.
type gauges struct{ unsent, oldest, parked prometheus.Gauge }

func newGauges(reg prometheus.Registerer) (*gauges, error) {
	if reg == nil {
		reg = prometheus.DefaultRegisterer
	}
	var g gauges
	for _, m := range []struct {
		gauge      *prometheus.Gauge
		name, help string
	}{
		{&g.unsent, "mainstay_outbox_backlog_rows", "Messages in the outbox that are to be sent."},
		{&g.oldest, "mainstay_outbox_oldest_age_seconds", "Age of the oldest message that is to be sent."},
		{&g.parked, "mainstay_outbox_parked_rows", "Messages that the broker refused for good, set aside."},
	} {
		var err error
		*m.gauge, err = metrics.Register(reg, prometheus.NewGauge(prometheus.GaugeOpts{Name: m.name, Help: m.help}))
		if err != nil {
			return nil, err
		}
	}
	return &g, nil
}

func (g *gauges) set(st stats) {
	g.unsent.Set(float64(st.unsent))
	g.oldest.Set(st.oldest.Seconds())
	g.parked.Set(float64(st.parked))
}

// none says that nothing is to be sent; what is set aside is as it was.
func (g *gauges) none() {
	g.unsent.Set(0)
	g.oldest.Set(0)
}
