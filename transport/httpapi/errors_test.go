package httpapi_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
)

// withStatus is an error that brings a status of its own.
type withStatus struct {
	status int
	cause  error
}

func (e withStatus) Error() string   { return "with a status" }
func (e withStatus) Unwrap() error   { return e.cause }
func (e withStatus) HTTPStatus() int { return e.status }

func TestAnErrorMayBringItsStatus(t *testing.T) {
	ours := transport.NewError(transport.InvalidArgument, "not that", nil)
	theirs := transport.NewError(transport.NotFound, "not there", nil)
	theirs.Remote = true
	for name, tt := range map[string]struct {
		err  error
		want int
		text string
	}{
		"OfOurError":       {withStatus{422, ours}, 422, "not that"},
		"Wrapped":          {fmt.Errorf("orders: %w", withStatus{422, ours}), 422, "not that"},
		"NoOtherIsAsked":   {fmt.Errorf("orders: %w: %w", withStatus{422, errors.New("secret")}, ours), 400, "not that"},
		"OfAStranger":      {withStatus{422, errors.New("secret")}, 500, "internal error"},
		"OfARemoteError":   {withStatus{422, theirs}, 404, "not there"},
		"ThatIsASuccess":   {withStatus{200, ours}, 400, "not that"},
		"ThatIsNoStatus":   {withStatus{600, ours}, 400, "not that"},
		"ThatIsARedirect":  {withStatus{399, ours}, 400, "not that"},
		"TheLowestThereIs": {withStatus{400, transport.NewError(transport.Internal, "odd", nil)}, 400, "odd"},
		"TheHighest":       {withStatus{599, ours}, 599, "not that"},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			httpapi.WriteError(w, httptest.NewRequest("GET", "/", nil), tt.err)
			if body := w.Body.String(); w.Code != tt.want || !strings.Contains(body, tt.text) ||
				!strings.Contains(body, fmt.Sprintf(`"status":%d`, tt.want)) || strings.Contains(body, "secret") {
				t.Errorf("%v is sent as %d %s, want %d, %s", tt.err, w.Code, body, tt.want, tt.text)
			}
		})
	}
}
