package outbox

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

// world is a database of two shards in which transactions draw numbers, and end in any order.
type world struct {
	rnd  *rand.Rand
	seq  int64
	txs  int
	open map[string][]row // by transaction
	rows []row            // committed, and not settled yet
}

// step has a transaction begin, go on, or end.
func (w *world) step() {
	switch ids := slices.Sorted(maps.Keys(w.open)); {
	case len(ids) < 4 && w.rnd.IntN(2) == 0:
		w.txs++
		w.open[strconv.Itoa(w.txs)] = nil
	case len(ids) > 0:
		id := ids[w.rnd.IntN(len(ids))]
		if w.rnd.IntN(4) > 0 {
			for range w.rnd.IntN(400) {
				w.seq++
				w.open[id] = append(w.open[id], row{shard: int16(w.rnd.IntN(2)), seq: w.seq})
			}
			return
		}
		w.end(id, w.rnd.IntN(5) > 0)
	}
}

func (w *world) end(id string, commit bool) {
	if commit {
		w.rows = append(w.rows, w.open[id]...)
		slices.SortFunc(w.rows, func(a, b row) int { return int(a.seq - b.seq) })
	}
	delete(w.open, id)
}

func (w *world) writers() map[string]bool {
	all := map[string]bool{}
	for id := range w.open {
		all[id] = true
	}
	return all
}

// read is what the relay's query does.
func (w *world) read(f *floors, order []int16, each, limit int) (rows []row, full bool) {
	for _, n := range order {
		got := 0
		for _, r := range w.rows {
			if r.shard == n && r.seq > f.shards[n].after && got < each && len(rows) < limit {
				rows, got = append(rows, r), got+1
			}
		}
	}
	return rows, len(rows) == limit
}

// TestFloorsHideNothing: whatever the order of commits, no row that can be seen is below a floor, and floors rise.
func TestFloorsHideNothing(t *testing.T) {
	for seed := range uint64(10) {
		w := &world{rnd: rand.New(rand.NewPCG(seed, 0)), open: map[string][]row{}}
		f := &floors{}
		order := []int16{0, 1}
		round := func() {
			slices.Reverse(order)
			rows, full := w.read(f, order, 150, 140)
			f.read(order, rows, full)
			taken := map[int64]bool{}
			for _, r := range rows {
				taken[r.seq] = true
			}
			for _, r := range w.rows {
				if r.seq <= f.shards[r.shard].after && !taken[r.seq] {
					t.Fatalf("seed %d: row %d of shard %d is below the floor of %d", seed, r.seq, r.shard,
						f.shards[r.shard].after)
				}
			}
			w.rows = slices.DeleteFunc(w.rows, func(r row) bool { return taken[r.seq] })
			if f.settle(rows) {
				f.advance(w.writers())
			}
		}
		for range 1000 {
			w.step()
			round()
		}
		for id := range w.open {
			w.end(id, true)
		}
		for range len(w.rows)/140 + 10 {
			round()
		}
		for n := range order {
			if s := f.shards[n]; s.after < s.high-4*floorEvery {
				t.Errorf("seed %d: the floor of shard %d is %d, want it near %d", seed, n, s.after, s.high)
			}
		}
	}
}

// While one transaction stays open, the floor stays below its number, however far others go.
func TestFloorsWaitForAnOpenTransaction(t *testing.T) {
	f := &floors{}
	long, short := true, 0
	var seq int64
	work := func(n int) {
		for range n {
			rows := make([]row, 500)
			for i := range rows {
				seq++
				rows[i] = row{shard: 5, seq: seq}
			}
			f.read([]int16{5}, rows, true)
			if f.settle(rows) {
				short++ // each time another one
				writers := map[string]bool{strconv.Itoa(short): true}
				if long {
					writers["long"] = true
				}
				f.advance(writers)
			}
		}
	}
	work(100)
	if got := f.shards[5].after; got != 0 {
		t.Errorf("floor = %d beside an open transaction, want 0", got)
	}
	long = false
	work(100)
	if got := f.shards[5].after; got < 50_000 {
		t.Errorf("floor = %d once it has ended, want more than the 50000 that it held up", got)
	}
	f.reset()
	if got := f.shards[5].after; got != 0 {
		t.Errorf("floor after reset = %d, want 0", got)
	}
}

func TestNextEach(t *testing.T) {
	q := query{each: 16, limit: 500}
	for name, tt := range map[string]struct {
		full, more bool
		want       int
	}{
		"SomeShardsHaveMore": {false, true, 32},
		"AllWasRead":         {false, false, 16},
		"TheBatchIsFull":     {true, true, 12},
	} {
		if got := nextEach(q, tt.full, tt.more); got != tt.want {
			t.Errorf("%s: nextEach = %d, want %d", name, got, tt.want)
		}
	}
	if got := nextEach(query{each: 400, limit: 500}, false, true); got != 500 {
		t.Errorf("nextEach = %d, want the limit of 500", got)
	}
}
