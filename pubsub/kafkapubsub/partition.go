package kafkapubsub

import (
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// state is where a record is.
type state int

const (
	ready state = iota // here, not received
	held               // received by package pubsub
	away               // released, until it is due
	done               // acknowledged
)

// entry is one record that was fetched and whose offset is not yet committed.
type entry struct {
	p      *partition
	d      *driver.Delivery // nil once done
	offset int64
	epoch  int32
	state  state
	due    time.Time // of one that is away
}

// partition is one that this process owns.
type partition struct {
	topic string
	id    int32
	// entries begins with the lowest unfinished record; those behind it may be done.
	entries   []*entry
	next      int64 // the offset behind the last record fetched
	epoch     int32 // of that record
	committed int64 // -1 while nothing was fetched
	holding   int   // entries that are held
	paused    bool
	leaving   bool          // it goes to another process
	gone      bool          // it belongs to another process
	idle      chan struct{} // closed when it leaves and nothing is held
}

// add takes a record in.
func (p *partition) add(r *kgo.Record) *entry {
	if p.committed < 0 {
		p.committed = r.Offset
	}
	e := &entry{p: p, offset: r.Offset, epoch: r.LeaderEpoch, d: delivery(r)}
	e.d.Handle = e
	p.entries = append(p.entries, e)
	p.next, p.epoch = r.Offset+1, r.LeaderEpoch
	return e
}

func delivery(r *kgo.Record) *driver.Delivery {
	return &driver.Delivery{
		Message:   driver.Message{Key: string(r.Key), Attributes: attributes(r.Headers), Data: r.Value},
		Published: r.Timestamp,
		Position: r.Topic + "/" + strconv.FormatInt(int64(r.Partition), 10) + "/" +
			strconv.FormatInt(r.Offset, 10),
	}
}

// advance drops what is done from the front.
func (p *partition) advance() {
	for len(p.entries) > 0 && p.entries[0].state == done {
		p.entries[0] = nil
		p.entries = p.entries[1:]
	}
}

// watermark is what may be committed: the lowest unfinished offset.
func (p *partition) watermark() kgo.EpochOffset {
	if len(p.entries) > 0 {
		return kgo.EpochOffset{Epoch: p.entries[0].epoch, Offset: p.entries[0].offset}
	}
	return kgo.EpochOffset{Epoch: p.epoch, Offset: p.next}
}

// dirty reports whether there is something to commit.
func (p *partition) dirty() bool {
	return !p.gone && p.committed >= 0 && p.watermark().Offset > p.committed
}

// let notes that one entry is not held any more.
func (p *partition) let() {
	p.holding--
	if p.leaving && p.holding == 0 {
		close(p.idle)
	}
}

// leave begins to give the partition up, and returns what is held.
func (p *partition) leave() []*driver.Delivery {
	p.leaving, p.idle = true, make(chan struct{})
	if p.holding == 0 {
		close(p.idle)
	}
	var ds []*driver.Delivery
	for _, e := range p.entries {
		if e.state == held {
			ds = append(ds, e.d)
		}
	}
	return ds
}
