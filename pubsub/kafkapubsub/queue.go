package kafkapubsub

import "slices"

// While fewer records are ready than lowRecords, with less data than lowBytes, what the client has fetched is taken out.
const (
	lowRecords = 1024
	lowBytes   = 4 << 20
)

// queue holds what is ready to be received.
type queue struct {
	es    []*entry
	bytes int // of their data
}

func (q *queue) len() int { return len(q.es) }

// low reports whether it is time to fetch more.
func (q *queue) low() bool { return len(q.es) < lowRecords && q.bytes < lowBytes }

func (q *queue) push(e *entry) {
	q.es = append(q.es, e)
	q.bytes += len(e.d.Data)
}

func (q *queue) pop() *entry {
	e := q.es[0]
	q.es[0] = nil
	q.es = q.es[1:]
	q.bytes -= len(e.d.Data)
	return e
}

func (q *queue) putFirst(es []*entry) {
	q.es = append(es, q.es...)
	for _, e := range es {
		q.bytes += len(e.d.Data)
	}
}

func (q *queue) remove(which func(*entry) bool) {
	q.es = slices.DeleteFunc(q.es, func(e *entry) bool {
		gone := which(e)
		if gone {
			q.bytes -= len(e.d.Data)
		}
		return gone
	})
}
