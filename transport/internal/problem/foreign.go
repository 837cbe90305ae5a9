package problem

import (
	"fmt"
	"io"
	"strings"

	"github.com/mainstay-go/mainstay/transport"
)

// maxSnippet bounds what a log line gets of a body that is no problem.
const maxSnippet = 256

// foreign returns e with the beginning of body as its cause, where there is one.
func foreign(e *transport.Error, body io.Reader) *transport.Error {
	begin := make([]byte, maxSnippet)
	n, _ := io.ReadFull(body, begin) // what came before an error is better than nothing
	text := strings.TrimSpace(strings.ToValidUTF8(string(begin[:n]), ""))
	if text == "" {
		return e
	}
	told := transport.NewError(e.Code, e.Message, snippet(text))
	told.Delay, told.Remote = e.Delay, e.Remote
	return told
}

// snippet is the beginning of a body. It is quoted, so that it stays one line of a log.
type snippet string

func (s snippet) Error() string { return fmt.Sprintf("the body begins with %q", string(s)) }
