package kafkapubsub

import (
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
	d      driver.Delivery
	p      *partition
	index  int // among all of p's, from 0
	offset int64
	epoch  int32
	state  state
	due    time.Time // of one that is away
}

// partition is one that this process owns.
type partition struct {
	topic string
	id    int32
	// entries begins with the lowest unfinished record. Those behind it are nil once they are done.
	entries   []*entry
	dropped   int   // how many entries there were before the first
	next      int64 // the offset behind the last record fetched
	epoch     int32 // of that record
	committed int64 // -1 while nothing was fetched
	holding   int   // entries that are held
	paused    bool
	leaving   bool          // it goes to another process
	gone      bool          // it belongs to another process
	idle      chan struct{} // closed when it leaves and nothing is held
}

// add takes in an entry of the next record.
func (p *partition) add(e *entry) {
	if p.committed < 0 {
		p.committed = e.offset
	}
	e.p, e.index = p, p.dropped+len(p.entries)
	p.entries = append(p.entries, e)
	p.next, p.epoch = e.offset+1, e.epoch
}

// finish notes that e, which was held, is done, and drops what is done from the front.
func (p *partition) finish(e *entry) {
	e.state = done
	p.entries[e.index-p.dropped] = nil
	n := 0
	for n < len(p.entries) && p.entries[n] == nil {
		n++
	}
	p.entries = p.entries[n:]
	p.dropped += n
	p.let()
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
		if e != nil && e.state == held {
			ds = append(ds, &e.d)
		}
	}
	return ds
}
