package migrate

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
)

func TestParse(t *testing.T) {
	for file, want := range map[string]string{
		"0001_create_orders.sql":            "0001_create_orders",
		"12345_a.sql":                       "12345_a",
		"20261125103000_b2.sql":             "20261125103000_b2",
		"0000_zero.sql":                     "",
		"_a.sql":                            "",
		"1.sql":                             "",
		"1_.sql":                            "",
		"1_Upper.sql":                       "",
		"-1_a.sql":                          "",
		"+1_a.sql":                          "",
		"1_a b.sql":                         "",
		"99999999999999999999_a.sql":        "",
		"1_a.up.sql":                        "",
		"0x1_a.sql":                         "",
		"1_dr\u00f6p.sql":                   "",
		"1_a;DROP TABLE x.sql":              "",
		strings.Repeat("0", 50) + "7_a.sql": "0007_a",
	} {
		m, err := parse(file, []byte("SELECT 1"))
		if got := m.String(); err == nil && got != want || err != nil && want != "" {
			t.Errorf("parse(%q) = %q, %v, want %q", file, got, err, want)
		}
	}
}

func TestParseText(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		inTx bool
		ok   bool
	}{
		"Plain":             {"CREATE TABLE a (b INT)", true, true},
		"NoTransaction":     {"-- migrate:no-transaction\nCREATE INDEX CONCURRENTLY a ON b (c)", false, true},
		"NoTransactionCRLF": {"-- migrate:no-transaction\r\nVACUUM", false, true},
		"NotInTheFirstLine": {"\n-- migrate:no-transaction\nVACUUM", true, true},
		"AnotherComment":    {"-- migrate:no-transactions\nVACUUM", true, true},
		"Empty":             {"", false, false},
		"NothingButBlanks":  {" \r\n\t", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := parse("1_a.sql", []byte(tt.text))
			if (err == nil) != tt.ok || m.inTx != tt.inTx {
				t.Errorf("parse = inTx %v, %v; want %v, ok %v", m.inTx, err, tt.inTx, tt.ok)
			}
		})
	}
}

func TestChecksumForgetsHowLinesEnd(t *testing.T) {
	unix, _ := parse("1_a.sql", []byte("SELECT 1;\nSELECT 2;\n"))
	dos, _ := parse("1_a.sql", []byte("SELECT 1;\r\nSELECT 2;\r\n"))
	other, _ := parse("1_a.sql", []byte("SELECT 1;\nSELECT 3;\n"))
	if unix.checksum != dos.checksum || unix.checksum == other.checksum {
		t.Errorf("checksums = %s, %s, %s; want the first two equal, the third not", unix.checksum, dos.checksum, other.checksum)
	}
}

func TestReadFiles(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for name, tt := range map[string]struct {
		fs   fstest.MapFS
		want string // the versions, or part of the error
	}{
		"OrderedByVersion": {fstest.MapFS{"10_b.sql": file("b"), "9_a.sql": file("a"), "0011_c.sql": file("c")}, "9 10 11"},
		"OthersAreNone":    {fstest.MapFS{"1_a.sql": file("a"), "README.md": file("x"), "old/2_b.sql": file("b")}, "1"},
		"SameVersion":      {fstest.MapFS{"1_a.sql": file("a"), "0001_b.sql": file("b")}, "the same version"},
		"BadName":          {fstest.MapFS{"1_a.sql": file("a"), "2-b.sql": file("b")}, `"2-b.sql"`},
		"Empty":            {fstest.MapFS{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			ms, err := readFiles(tt.fs)
			var got []string
			for _, m := range ms {
				got = append(got, strings.TrimLeft(strings.SplitN(m.String(), "_", 2)[0], "0"))
			}
			text := strings.Join(got, " ")
			if err != nil {
				text = err.Error()
			}
			if err == nil && text != tt.want || err != nil && (tt.want == "" || !strings.Contains(text, tt.want)) {
				t.Errorf("readFiles = %q, want %q", text, tt.want)
			}
		})
	}
}

func TestPlan(t *testing.T) {
	files := func(versions ...int64) (ms []migration) {
		for _, v := range versions {
			ms = append(ms, migration{version: v, name: "m", checksum: "same"})
		}
		return ms
	}
	done := func(versions ...int64) (as []applied) {
		for _, v := range versions {
			as = append(as, applied{version: v, name: "m", checksum: "same"})
		}
		return as
	}
	for name, tt := range map[string]struct {
		files   []migration
		done    []applied
		pending int
		newer   bool
		fails   bool
	}{
		"Fresh":              {files(1, 2, 3), nil, 3, false, false},
		"UpToDate":           {files(1, 2), done(1, 2), 0, false, false},
		"Behind":             {files(1, 2, 5), done(1), 2, false, false},
		"NoFiles":            {nil, nil, 0, false, false},
		"Newer":              {files(1, 2), done(1, 2, 3), 0, true, false},
		"NewerAndNoFiles":    {nil, done(1), 0, true, false},
		"NewerWithPending":   {files(1, 2, 3), done(1, 2, 4), 0, true, false},
		"Missing":            {files(1, 3), done(1, 2, 3), 0, false, true},
		"OutOfOrder":         {files(1, 2, 3), done(1, 3), 0, false, true},
		"ChangedEvenIfNewer": {[]migration{{version: 1, checksum: "other"}}, done(1, 2), 0, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			pending, newer, err := plan(tt.files, tt.done)
			if len(pending) != tt.pending || newer != tt.newer || (err != nil) != tt.fails {
				t.Errorf("plan = %d pending, newer %v, %v; want %d, %v, fails %v", len(pending), newer, err, tt.pending, tt.newer, tt.fails)
			}
		})
	}
	if _, _, err := plan([]migration{{version: 1, checksum: "other"}}, done(1)); !errors.Is(err, ErrChanged) {
		t.Errorf("plan of a changed file = %v, want %v", err, ErrChanged)
	}
}

// FuzzParse: no file name or text makes it panic, and what it accepts it can print and read again.
func FuzzParse(f *testing.F) {
	f.Add("0001_a.sql", []byte("SELECT 1"))
	f.Add("1_a.sql", []byte("-- migrate:no-transaction\r\nVACUUM"))
	f.Add("_.sql", []byte("\xff"))
	f.Fuzz(func(t *testing.T, file string, text []byte) {
		m, err := parse(file, text)
		if err != nil {
			return
		}
		again, err := parse(m.String()+".sql", []byte(m.sql))
		if err != nil || again != m {
			t.Errorf("parse(%q) = %+v, and again %+v, %v", file, m, again, err)
		}
	})
}
