package kafkapubsub

import (
	"math/rand/v2"
	"reflect"
	"testing"
)

func TestRemovedRemembersWhatWasAdded(t *testing.T) {
	r := removed{below: 1000}
	random := rand.New(rand.NewPCG(1, 2))
	gone := map[int64]bool{}
	for _, i := range random.Perm(400)[:300] {
		offset := int64(1000 + i)
		gone[offset] = true
		r.add(offset)
	}
	text := r.String()
	read, err := parseRemoved(r.below, text)
	if err != nil || !reflect.DeepEqual(read, r) {
		t.Fatalf("read %v, %v from %q, want %v", read, err, text, r)
	}
	for offset := int64(1000); offset < 1400; offset++ {
		if read.has(offset) != gone[offset] {
			t.Errorf("has(%d) = %v, want %v", offset, read.has(offset), gone[offset])
		}
	}
	if !read.has(999) || read.has(1400) {
		t.Errorf("has(999) = %v, has(1400) = %v, want true, false", read.has(999), read.has(1400))
	}
}

func TestRemovedIsAWatermarkWhereNothingIsLeft(t *testing.T) {
	r := removed{below: 5}
	for _, offset := range []int64{7, 6, 8, 5} {
		r.add(offset)
	}
	if r.below != 9 || len(r.ranges) != 0 || r.String() != "" {
		t.Errorf("below %d, ranges %v, text %q, want 9, none, none", r.below, r.ranges, r.String())
	}
	r.add(20)
	r.raise(15)
	if r.below != 15 || len(r.ranges) != 1 {
		t.Errorf("below %d, ranges %v after the log was cut at 15, want 15 and one", r.below, r.ranges)
	}
}

func FuzzParseRemoved(f *testing.F) {
	f.Add(int64(0), "")
	f.Add(int64(10), "1,2+3,zz")
	f.Add(int64(1)<<62, "1+z")
	f.Fuzz(func(t *testing.T, below int64, text string) {
		r, err := parseRemoved(below, text)
		if err != nil {
			return
		}
		for i, s := range r.ranges {
			if s.first >= s.end || i > 0 && s.first <= r.ranges[i-1].end {
				t.Fatalf("%q below %d has ranges %v", text, below, r.ranges)
			}
		}
		again, err := parseRemoved(r.below, r.String())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%v as %q became %v, %v", r, r.String(), again, err)
		}
	})
}
