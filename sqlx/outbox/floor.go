package outbox

import "maps"

// floorEvery is after how many rows the floors are raised: a scan passes at most about as many that were deleted.
const floorEvery = 5000

// floors says, shard by shard, below which number there is nothing to read. Deleted rows stay in PostgreSQL's index
// until they are vacuumed, which takes a minute at best and, beside a long transaction, for as long as that lasts:
// whoever reads from the beginning passes them all, each time.
//
// A floor is no cursor. What commits late has a lower number than what was sent, and must still be seen first. So a
// floor is raised in three steps: mark how far the rows went and which transactions had the table locked for writing;
// wait until all of those have ended, after which no number below the mark can turn up any more; and raise the floor to
// the mark once a read, made after that, has found nothing below it.
//
// Floors live in memory, and every so often, or when anything is not as usual, all are dropped: rows may also come from
// a dump, or a hand.
type floors struct {
	shards  [shards]floor
	settled int             // rows since the last mark
	waiting map[string]bool // transactions at the mark, nil for no mark
}

type floor struct {
	after  int64 // nothing is to be read up to here
	high   int64 // the highest number that was settled
	mark   int64 // high when it was marked
	proven int64 // no number up to here can turn up that a read would not find
}

// reset drops all floors.
func (f *floors) reset() { *f = floors{} }

// resetShard drops the floor of one, of which somebody else may know more now.
func (f *floors) resetShard(n int16) { f.shards[n] = floor{} }

// read notes what a read of shards found, whose rows come shard by shard, and whether it stopped at its limit.
func (f *floors) read(order []int16, rows []row, full bool) {
	first := map[int16]int64{}
	for _, r := range rows {
		if _, ok := first[r.shard]; !ok {
			first[r.shard] = r.seq
		}
	}
	for _, n := range order {
		if s := &f.shards[n]; first[n] == 0 || first[n] > s.proven {
			s.after = max(s.after, s.proven)
		}
		if full && len(rows) > 0 && n == rows[len(rows)-1].shard {
			return // the ones after it were not read
		}
	}
}

// settle notes rows that are not in the table any more, and reports whether writers is to be asked and told to advance.
func (f *floors) settle(rows []row) bool {
	for _, r := range rows {
		s := &f.shards[r.shard]
		s.high = max(s.high, r.seq)
	}
	f.settled += len(rows)
	return f.settled >= floorEvery
}

// advance takes the transactions that have the table locked for writing now.
func (f *floors) advance(writers map[string]bool) {
	maps.DeleteFunc(f.waiting, func(id string, _ bool) bool { return !writers[id] })
	if f.waiting != nil && len(f.waiting) == 0 {
		for i := range f.shards {
			f.shards[i].proven = f.shards[i].mark
		}
		f.waiting = nil
	}
	f.settled = floorEvery / 2 // ask again soon
	if f.waiting == nil {
		for i := range f.shards {
			f.shards[i].mark = f.shards[i].high
		}
		f.waiting, f.settled = writers, 0
	}
}
