package mempubsub

// entryList is a doubly linked list of entries, each of which is in one list at most: container/list without an
// allocation for each element.
type entryList struct {
	front, back *entry
	n           int
}

// insert puts e, which is in no list, before at, or at the end where at is nil.
func (l *entryList) insert(e, at *entry) {
	e.list, e.next = l, at
	if at == nil {
		e.prev, l.back = l.back, e
	} else {
		e.prev, at.prev = at.prev, e
	}
	if e.prev == nil {
		l.front = e
	} else {
		e.prev.next = e
	}
	l.n++
}

// remove takes e out.
func (l *entryList) remove(e *entry) {
	if e.prev == nil {
		l.front = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		l.back = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.list, e.prev, e.next = nil, nil, nil
	l.n--
}
