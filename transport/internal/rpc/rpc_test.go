package rpc_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/problem"
	"github.com/mainstay-go/mainstay/transport/internal/rpc"
)

func TestStatus(t *testing.T) {
	t.Run("ReturnsWhatWasSent", func(t *testing.T) {
		for c := transport.Canceled; c <= transport.Unauthenticated; c++ {
			for _, want := range []*transport.Error{
				{Code: c, Message: "m"},
				{Code: c, Message: "m", Delay: 1500 * time.Millisecond},
				{Code: c, Message: "m", Fields: []transport.FieldViolation{{Field: "f", Description: "d"}}},
			} {
				want.Remote = true
				got := rpc.FromStatus(rpc.ToStatus(want))
				if got.Code != want.Code || got.Message != want.Message || got.Delay != want.Delay || !got.Remote ||
					!reflect.DeepEqual(got.Fields, want.Fields) {
					t.Errorf("got %+v, want %+v", got, want)
				}
			}
		}
	})
	t.Run("NeverSendsTheCause", func(t *testing.T) {
		st := rpc.ToStatus(transport.NewError(transport.Internal, "internal error", io.ErrNoProgress))
		if text := st.Proto().String(); strings.Contains(text, io.ErrNoProgress.Error()) {
			t.Errorf("the status holds the cause: %s", text)
		}
	})
	t.Run("KeepsTheLibrarysTextFromStrangers", func(t *testing.T) {
		got := rpc.FromStatus(status.New(codes.Unavailable, "dial tcp 10.0.0.7:9090: connection refused"))
		if got.Message != "not available now" || !strings.Contains(got.Error(), "10.0.0.7") {
			t.Errorf("message %q, text %q, want the address in the text alone", got.Message, got)
		}
	})
	t.Run("KeepsTheTextOfForeignServers", func(t *testing.T) {
		if got := rpc.FromStatus(status.New(codes.NotFound, "no such fish")); got.Message != "no such fish" {
			t.Errorf("message %q, want no such fish", got.Message)
		}
	})
	t.Run("MatchesATimeout", func(t *testing.T) {
		for _, st := range []*status.Status{
			status.New(codes.DeadlineExceeded, "x"), rpc.ToStatus(transport.Errorf(transport.DeadlineExceeded, "y")),
		} {
			if got := rpc.FromStatus(st); !errors.Is(got, context.DeadlineExceeded) {
				t.Errorf("%v does not match context.DeadlineExceeded", got)
			}
		}
	})
	t.Run("BoundsTheWaitThatIsAskedFor", func(t *testing.T) {
		for asked, want := range map[time.Duration]time.Duration{
			-time.Second: 0, time.Hour: time.Hour, 1000 * time.Hour: 24 * time.Hour,
		} {
			st, err := status.New(codes.Unavailable, "x").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(asked)})
			if err != nil {
				t.Fatal(err)
			}
			if got := rpc.FromStatus(st).Delay; got != want {
				t.Errorf("asked for %v: %v, want %v", asked, got, want)
			}
		}
	})
	t.Run("IsNeverOK", func(t *testing.T) {
		if got := rpc.ToStatus(&transport.Error{}).Code(); got != codes.Unknown {
			t.Errorf("an error without a code is sent as %v, want Unknown", got)
		}
		if got := rpc.FromStatus(status.New(99, "")); got.Code != transport.Unknown || got.Message == "" {
			t.Errorf("code 99 is read as %+v, want unknown with a message", got)
		}
	})
	t.Run("FitsIntoAHeader", func(t *testing.T) {
		big := transport.FieldViolation{Field: strings.Repeat("ä", 2000), Description: "\xff" + strings.Repeat("d", 9000)}
		e := transport.Invalid(big, big, big, big, big, big, big, big)
		e.Message = strings.Repeat("m", 1<<20)
		st := rpc.ToStatus(e)
		raw, err := proto.Marshal(st.Proto())
		if err != nil || len(raw) > 6<<10 || len(rpc.FromStatus(st).Fields) == 0 {
			t.Errorf("%d bytes, %v, want fields in at most 6 KiB", len(raw), err)
		}
	})
}

// TestBothWires sends every code over gRPC, on over HTTP, and back over gRPC, as a chain of services does.
func TestBothWires(t *testing.T) {
	for c := transport.Canceled; c <= transport.Unauthenticated; c++ {
		want := &transport.Error{
			Code: c, Message: "no fish", Delay: 2 * time.Second, Remote: true,
			Fields: []transport.FieldViolation{{Field: "sku", Description: "is required"}},
		}
		over := rpc.FromStatus(rpc.ToStatus(want))
		rec := httptest.NewRecorder()
		problem.Write(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), c.HTTPStatus(), over)
		res := rec.Result()
		over = problem.Read(res)
		res.Body.Close()
		if res.StatusCode != c.HTTPStatus() {
			t.Errorf("%v is HTTP %d, want %d", c, res.StatusCode, c.HTTPStatus())
		}
		got := rpc.FromStatus(rpc.ToStatus(over))
		if got.Code != want.Code || got.Message != want.Message || got.Delay != want.Delay || !got.Remote ||
			!reflect.DeepEqual(got.Fields, want.Fields) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

// FuzzNames takes the method that a stranger calls.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"/p.S/M", "", "/", "//", "p", "/\xff\xfe/x", "/" + strings.Repeat("ä", 300) + "/b", "/a/b/c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, full string) {
		if got := rpc.Original(full); !utf8.ValidString(got) || len(got) > 3*256 {
			t.Errorf("Original(%q) = %q, want UTF-8 and bounded", full, got)
		}
		service, method := rpc.Service(full), rpc.Method(full)
		if !strings.HasPrefix(method, service) || strings.HasSuffix(service, "/") && !strings.Contains(method, "//") {
			t.Errorf("Service(%q) = %q of %q", full, service, method)
		}
	})
}

func TestNames(t *testing.T) {
	for c := codes.OK; c <= codes.Unauthenticated; c++ {
		// The library reads the names that statuscodes.md has.
		var back codes.Code
		if err := back.UnmarshalJSON([]byte(`"` + rpc.CodeName(c) + `"`)); err != nil || back != c {
			t.Errorf("CodeName(%v) = %q, which is read as %v, %v", c, rpc.CodeName(c), back, err)
		}
	}
	if got := rpc.CodeName(99); got != "UNKNOWN" {
		t.Errorf("CodeName(99) = %q, want UNKNOWN", got)
	}
	for full, want := range map[string]string{"/p.S/M": "p.S", "p.S/M": "p.S", "": "", "/": "", "/a/b/c": "a/b"} {
		if got := rpc.Service(full); got != want {
			t.Errorf("Service(%q) = %q, want %q", full, got, want)
		}
	}
}

func TestCorrelationID(t *testing.T) {
	long := strings.Repeat("a", correlation.MaxLength)
	for name, c := range map[string]struct {
		md   metadata.MD
		want string // "" for a new one
	}{
		"None":              {nil, ""},
		"Adopted":           {metadata.Pairs("x-correlation-id", "c-1"), "c-1"},
		"Longest":           {metadata.Pairs("x-correlation-id", long), long},
		"TooLong":           {metadata.Pairs("x-correlation-id", long+"a"), ""},
		"Hostile":           {metadata.Pairs("x-correlation-id", "a b"), ""},
		"NotUTF8":           {metadata.Pairs("x-correlation-id", "\xff\xfe"), ""},
		"Twice":             {metadata.Pairs("x-correlation-id", "a", "x-correlation-id", "b"), ""},
		"RequestID":         {metadata.Pairs("x-request-id", "r-1"), "r-1"},
		"RequestIDIsSecond": {metadata.Pairs("x-request-id", "r-1", "x-correlation-id", "c-1"), "c-1"},
	} {
		t.Run(name, func(t *testing.T) {
			got := rpc.CorrelationID(metadata.NewIncomingContext(t.Context(), c.md))
			if c.want != "" && got != c.want || !correlation.Valid(got) || c.want == "" && len(got) != 36 {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// FuzzFromStatus reads what a hostile server may send as grpc-status-details-bin.
func FuzzFromStatus(f *testing.F) {
	add := func(e *transport.Error) {
		raw, err := proto.Marshal(rpc.ToStatus(e).Proto())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	add(transport.Invalid(transport.FieldViolation{Field: "sku", Description: "is required"}))
	add(&transport.Error{Code: transport.Unavailable, Delay: time.Second, Message: strings.Repeat("ä", 800)})
	raw, err := proto.Marshal(&spb.Status{Code: -7, Message: "x", Details: []*anypb.Any{{
		TypeUrl: "type.googleapis.com/google.rpc.RetryInfo", Value: []byte{0xff},
	}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var p spb.Status
		if proto.Unmarshal(raw, &p) != nil {
			return
		}
		e := rpc.FromStatus(status.FromProto(&p))
		if e.Code == transport.OK || e.Code > transport.Unauthenticated || !e.Remote || e.Message == "" {
			t.Errorf("not an error: %+v", e)
		}
		if e.Delay < 0 || e.Delay > 24*time.Hour || len(e.Message) > 1<<10 || len(e.Fields) > 64 {
			t.Errorf("unbounded: %v, %d bytes, %d fields", e.Delay, len(e.Message), len(e.Fields))
		}
		for _, field := range e.Fields {
			if !utf8.ValidString(field.Field) || !utf8.ValidString(field.Description) || len(field.Field) > 1<<10 {
				t.Errorf("field %+v", field)
			}
		}
		if !utf8.ValidString(e.Message) {
			t.Errorf("message %q", e.Message)
		}
	})
}
