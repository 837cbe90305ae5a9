package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// readAll returns the events of a stream, as "id|name|data", and what ended it.
func readAll(r io.Reader, limit int) (got []string, in *eventReader, err error) {
	in = newEventReader(r, limit, "", func() {})
	for {
		ev, err := in.next()
		if err != nil {
			return got, in, err
		}
		got = append(got, fmt.Sprintf("%s|%s|%s", in.lastID, ev.name, ev.data))
	}
}

// TestEventReader follows WHATWG HTML, section 9.2.6.
func TestEventReader(t *testing.T) {
	for _, tt := range []struct {
		name, stream string
		want         []string
	}{
		{"TwoLinesOfData", "data: YHOO\ndata: +2\ndata: 10\n\n", []string{"||YHOO\n+2\n10"}},
		{"TheStandardsSecondExample",
			": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
			[]string{"1||first event", "||second event", "|| third event"}},
		{"AnEmptyDataLineIsData", "data\n\ndata\ndata\n\ndata:", []string{"||", "||\n"}},
		{"OneSpaceIsTakenOff", "data:test\n\ndata: test\n\n", []string{"||test", "||test"}},
		{"AnEventThatIsNotCompleteIsNone", "data: a\n\ndata: b\n", []string{"||a"}},
		{"NoDataIsNoEvent", "event: x\nid: 7\n\ndata: a\n\n", []string{"7||a"}},
		{"ANameIsForOneEvent", "event: x\ndata: a\n\ndata: b\n\n", []string{"|x|a", "||b"}},
		{"AnIDStays", "id: 7\ndata: a\n\ndata: b\n\n", []string{"7||a", "7||b"}},
		{"AnIDOfAnEventThatNeverCame", "data: a\n\nid: 8\n", []string{"||a"}},
		{"AnIDWithANULIsNone", "id: 7\ndata: a\n\nid: 8\x00\ndata: b\n\n", []string{"7||a", "7||b"}},
		{"CarriageReturns", "data: a\rdata: b\r\rdata: c\r\n\r\ndata: d\n\r\n", []string{"||a\nb", "||c", "||d"}},
		{"AnEndOfTwoBytesIsOne", "data: a\r\ndata: b\r\n\r\n", []string{"||a\nb"}},
		{"AByteOrderMark", "\ufeffdata: a\n\n\ufeffdata: b\n\n", []string{"||a"}},
		{"TwoByteOrderMarks", "\ufeff\ufeffdata: a\n\n", nil},
		{"UnknownFieldsAndComments", "foo: bar\n:data: x\nDATA: x\n data: x\ndata: a\n\n", []string{"||a"}},
		{"AColonInTheValue", "data: a: b\n\n", []string{"||a: b"}},
		{"InvalidUTF8InAName", "event: a\xff\nid: \xff\ndata: b\n\n", []string{"\ufffd|a\ufffd|b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for how, r := range map[string]io.Reader{
				"at once":      strings.NewReader(tt.stream),
				"byte by byte": iotest.OneByteReader(strings.NewReader(tt.stream)),
			} {
				if got, _, err := readAll(r, 1<<20); !reflect.DeepEqual(got, tt.want) || !errors.Is(err, io.EOF) {
					t.Errorf("%s: got %q, %v, want %q", how, got, err, tt.want)
				}
			}
		})
	}
	t.Run("TakesTheRetryTime", func(t *testing.T) {
		for value, want := range map[string]time.Duration{
			"1500": 1500 * time.Millisecond, "0": 0, "": -1, "-1": -1, "1.5": -1, "1s": -1, "+1": -1,
			"99999999999999999999": 9223372036854 * time.Millisecond, "9223372036854775": 9223372036854 * time.Millisecond,
		} {
			if _, in, _ := readAll(strings.NewReader("retry: "+value+"\n\n"), 100); in.retry != want {
				t.Errorf("retry %q: %v, want %v", value, in.retry, want)
			}
		}
	})
	t.Run("IsBounded", func(t *testing.T) {
		for name, r := range map[string]io.Reader{
			"a line":        io.MultiReader(strings.NewReader("data: "), endless('x')),
			"a comment":     io.MultiReader(strings.NewReader(":"), endless('x')),
			"many lines":    strings.NewReader(strings.Repeat("data: xxxxxxxx\n", 1000)),
			"the last line": strings.NewReader("data: " + strings.Repeat("x", 95)),
		} {
			if got, _, err := readAll(r, 100); !errors.Is(err, errTooLarge) || got != nil {
				t.Errorf("%s: got %q, %v, want too large", name, got, err)
			}
		}
		for name, fits := range map[string]string{
			"a line of 100 bytes":         "data: " + strings.Repeat("x", 94) + "\n\n",
			"100 bytes of data and ends":  strings.Repeat("data: xxxx\n", 19) + "data: xxxxx\n\n",
			"one event behind the others": strings.Repeat("data: "+strings.Repeat("x", 94)+"\n\n", 3),
		} {
			if got, _, err := readAll(strings.NewReader(fits), 100); len(got) == 0 || !errors.Is(err, io.EOF) {
				t.Errorf("%s: got %q, %v", name, got, err)
			}
		}
	})
	t.Run("DoesNotWaitBehindACarriageReturn", func(t *testing.T) {
		r, w := io.Pipe()
		defer r.Close()
		go func() { _, _ = io.WriteString(w, "data: a\r\r") }() // and nothing more
		in := newEventReader(r, 100, "", func() {})
		if ev, err := in.next(); err != nil || string(ev.data) != "a" {
			t.Errorf("got %q, %v, want a", ev.data, err)
		}
	})
}

type endless byte

func (b endless) Read(p []byte) (int, error) {
	copy(p, bytes.Repeat([]byte{byte(b)}, len(p)))
	return len(p), nil
}

// FuzzEventReader holds the reader against one that is simple and has no bounds, whole and byte by byte.
func FuzzEventReader(f *testing.F) {
	for _, s := range []string{
		"data: a\n\n", "\ufeffid: 1\r\ndata: a\rdata:b\r\r", "event: x\ndata\n\n:c\nretry: 10\n\n",
		"id: \x00\nid\ndata:  \n\n\n\r\n\r",
		"data: \xff\n\n", "data: a\n\rdata: b\n\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		want, retry := simple(string(stream))
		for how, r := range map[string]io.Reader{
			"at once": bytes.NewReader(stream), "byte by byte": iotest.OneByteReader(bytes.NewReader(stream)),
		} {
			got, in, err := readAll(r, len(stream)+1)
			if !reflect.DeepEqual(got, want) || in.retry != retry || !errors.Is(err, io.EOF) {
				t.Errorf("%s: got %q, retry %v, %v, want %q, %v", how, got, in.retry, err, want, retry)
			}
		}
		if got, _, err := readAll(bytes.NewReader(stream), 8); len(got) > len(want) || err == nil {
			t.Errorf("bounded: got %q, %v", got, err)
		}
	})
}

// simple is the standard's text, word by word.
func simple(s string) (got []string, retry time.Duration) {
	s = strings.TrimPrefix(s, "\ufeff")
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(s, "\n")
	var data, name, id, lastID string
	retry = -1
	for _, line := range lines[:len(lines)-1] { // the last one has no end
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			lastID = id
			if data != "" {
				got = append(got, lastID+"|"+name+"|"+strings.TrimSuffix(data, "\n"))
			}
			data, name = "", ""
		case field == "data":
			data += value + "\n"
		case field == "event":
			name = strings.ToValidUTF8(value, "\ufffd")
		case field == "id" && !strings.Contains(value, "\x00"):
			id = strings.ToValidUTF8(value, "\ufffd")
		case field == "retry" && value != "" && strings.Trim(value, "0123456789") == "":
			var n int64
			for _, c := range value {
				n = min(n*10+int64(c-'0'), 9223372036854)
			}
			retry = time.Duration(n) * time.Millisecond
		}
	}
	return got, retry
}

func BenchmarkEventReader(b *testing.B) {
	stream := strings.Repeat("id: 17\nevent: price\ndata: {\"sku\":\"tea-earl-grey-100g\",\"cents\":1799}\n\n", 1000)
	r := strings.NewReader(stream)
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(stream)
		in := newEventReader(r, 1<<20, "", func() {})
		for {
			if _, err := in.next(); err != nil {
				break
			}
		}
	}
}
