package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/mainstay-go/mainstay/transport"
)

// allCodes returns every code but OK.
func allCodes() []transport.Code {
	var all []transport.Code
	for c := transport.Canceled; c <= transport.Unauthenticated; c++ {
		all = append(all, c)
	}
	return all
}

func TestCode(t *testing.T) {
	t.Run("HasGRPCsNumbers", func(t *testing.T) {
		for _, c := range append(allCodes(), transport.OK) {
			// "NotFound" and "not_found" are one name in two styles.
			got := strings.ReplaceAll(c.String(), "_", "")
			want := strings.ToLower(codes.Code(c).String())
			if got != want {
				t.Errorf("code %d is %q, want gRPC's %q", c, got, want)
			}
		}
	})
	t.Run("NameComesBack", func(t *testing.T) {
		for _, c := range append(allCodes(), transport.OK) {
			if got, ok := transport.CodeFromName(c.String()); got != c || !ok {
				t.Errorf("CodeFromName(%q) = %v, %t, want %v, true", c.String(), got, ok, c)
			}
		}
		if got, ok := transport.CodeFromName("no_such_code"); got != transport.Unknown || ok {
			t.Errorf("CodeFromName(no_such_code) = %v, %t, want unknown, false", got, ok)
		}
	})
	t.Run("StatusIsKeptThroughACode", func(t *testing.T) {
		for _, c := range allCodes() {
			status := c.HTTPStatus()
			if got := transport.CodeFromHTTPStatus(status).HTTPStatus(); got != status {
				t.Errorf("%v -> %d -> %v -> %d, want the same status", c, status, transport.CodeFromHTTPStatus(status), got)
			}
		}
	})
	t.Run("EveryErrorStatusIsAnError", func(t *testing.T) {
		for status := 100; status < 1000; status++ {
			got := transport.CodeFromHTTPStatus(status)
			if isError := status >= 400; (got != transport.OK) != isError {
				t.Errorf("CodeFromHTTPStatus(%d) = %v", status, got)
			}
		}
	})
	t.Run("OutOfRangeIsHarmless", func(t *testing.T) {
		c := transport.Code(99)
		if c.String() != "code_99" || c.HTTPStatus() != http.StatusInternalServerError {
			t.Errorf("Code(99) = %q, %d, want code_99, 500", c, c.HTTPStatus())
		}
	})
}

func TestError(t *testing.T) {
	t.Run("KeepsTheCauseForThisProcess", func(t *testing.T) {
		err := error(transport.NewError(transport.NotFound, "no such user", io.ErrUnexpectedEOF))
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("errors.Is(%v, cause) = false, want true", err)
		}
		if want := "not_found: no such user: unexpected EOF"; err.Error() != want {
			t.Errorf("Error() = %q, want %q", err, want)
		}
	})
	t.Run("TextNamesTheFirstField", func(t *testing.T) {
		err := transport.Invalid(transport.FieldViolation{Field: "sku", Description: "is required"})
		if want := "invalid_argument: the request is not valid: sku: is required"; err.Error() != want {
			t.Errorf("Error() = %q, want %q", err, want)
		}
	})
	t.Run("SaysWhetherToTryAgain", func(t *testing.T) {
		retryable := map[transport.Code]bool{
			transport.Unavailable: true, transport.ResourceExhausted: true, transport.Aborted: true,
			transport.DeadlineExceeded: true, transport.Unknown: true, transport.Internal: true, transport.Canceled: true,
		}
		for _, c := range allCodes() {
			if got := transport.Errorf(c, "x").Retryable(); got != retryable[c] {
				t.Errorf("%v: Retryable() = %t, want %t", c, got, retryable[c])
			}
		}
	})
	t.Run("AccessIsStrictByDefault", func(t *testing.T) {
		var zero transport.Access
		if zero != transport.InternalOnly || zero.String() != "internal" {
			t.Errorf("the zero Access is %v, want internal", zero)
		}
	})
}

// waitError asks for a wait, as an open circuit breaker does.
type waitError struct{ d time.Duration }

func (e waitError) Error() string             { return "open" }
func (e waitError) RetryAfter() time.Duration { return e.d }

func remote(c transport.Code) *transport.Error {
	return &transport.Error{Code: c, Message: "from afar", Remote: true}
}

func TestAsError(t *testing.T) {
	for _, tt := range []struct {
		name    string
		err     error
		code    transport.Code
		message string
	}{
		{"KeepsACodedError", transport.Errorf(transport.NotFound, "gone"), transport.NotFound, "gone"},
		{"FindsItUnderWrapping", fmt.Errorf("w: %w", transport.Errorf(transport.Aborted, "x")), transport.Aborted, "x"},
		{"HidesAnyOtherText", errors.New("password=hunter2"), transport.Internal, "internal error"},
		{"ReadsTheCallersLeaving", fmt.Errorf("q: %w", context.Canceled), transport.Canceled, "the caller went away"},
		{"ReadsADeadline", fmt.Errorf("q: %w", context.DeadlineExceeded), transport.DeadlineExceeded, "time ran out"},
		{"ReadsAWait", fmt.Errorf("q: %w", waitError{time.Second}), transport.Unavailable, "not available now"},
		{"NeedsAWaitAboveZero", waitError{}, transport.Internal, "internal error"},
		{"PassesARemoteErrorOn", remote(transport.NotFound), transport.NotFound, "from afar"},
		{"KeepsOurCredentialFromOurCaller", remote(transport.Unauthenticated), transport.Internal, "internal error"},
		{"KeepsOurRightsFromOurCaller", remote(transport.PermissionDenied), transport.Internal, "internal error"},
		{"NoErrorIsASuccess", &transport.Error{Message: "no code"}, transport.Unknown, "no code"},
		{"ACalleeThatGaveUpIsUnavailable", remote(transport.Canceled), transport.Unavailable, "not available now"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := transport.AsError(tt.err)
			if got.Code != tt.code || got.Message != tt.message {
				t.Errorf("AsError(%v) = %v %q, want %v %q", tt.err, got.Code, got.Message, tt.code, tt.message)
			}
			if got != tt.err && !errors.Is(tt.err, got) && !errors.Is(got, tt.err) {
				t.Errorf("AsError(%v) lost the error", tt.err)
			}
		})
	}
	t.Run("TakesTheWaitAlong", func(t *testing.T) {
		if got := transport.AsError(waitError{3 * time.Second}).RetryAfter(); got != 3*time.Second {
			t.Errorf("RetryAfter() = %v, want 3s", got)
		}
	})
	t.Run("OfNilIsNil", func(t *testing.T) {
		if got := transport.AsError(nil); got != nil {
			t.Errorf("AsError(nil) = %v, want nil", got)
		}
	})
}
