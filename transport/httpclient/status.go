package httpclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/mainstay-go/mainstay/transport/internal/problem"
)

// failed tells which request failed, without the query that net/http would tell, and why, where caller has ended: of a
// context with a cause, net/http tells the cause alone.
func failed(caller context.Context, r *http.Request, err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	for _, why := range []error{context.Cause(caller), caller.Err()} {
		if why != nil && !errors.Is(err, why) {
			err = fmt.Errorf("%w: %w", why, err)
		}
	}
	m := r.Method
	if m == "" {
		m = http.MethodGet
	}
	return fmt.Errorf("httpclient: %s %q: %w", m, redacted(r.URL), err)
}

// Check returns nil for a response of 2xx or 101. Any other it reads, within bounds, and closes, and returns the
// *[transport.Error] that it stands for: the one that a server of this kit built, by its problem details, or one by its
// status, whose cause is the beginning of the body: it goes to the log and never to a caller. It is what a call of
// httpapi does by itself.
func Check(resp *http.Response) error {
	if resp.StatusCode >= 200 && resp.StatusCode < 300 || resp.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	defer resp.Body.Close()
	return problem.Read(resp)
}
