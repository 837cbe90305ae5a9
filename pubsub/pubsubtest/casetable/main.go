// Command casetable reads the output of "go test -v", shows the results of its packages, all of what a failed one
// wrote, and at the end the table of conformance cases by adapter. It exits with 1 when a case failed:
//
//	go test -v ./... 2>&1 | go run ./pubsub/pubsubtest/casetable
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mainstay-go/mainstay/pubsub/pubsubtest"
)

func main() {
	failed, err := show(os.Stdout, os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || len(failed) > 0 {
		os.Exit(1)
	}
}

// show returns the cases that failed.
func show(w io.Writer, output io.Reader) (failed []string, err error) {
	var all bytes.Buffer
	if err := digest(w, io.TeeReader(output, &all)); err != nil {
		return nil, err
	}
	return pubsubtest.WriteTable(w, &all)
}

// digest writes one line for each package, and before that of one that failed what it wrote. What belongs to no package
// that ended is written at the end.
func digest(w io.Writer, output io.Reader) error {
	var pending strings.Builder
	lines := bufio.NewReader(output)
	for {
		line, err := lines.ReadString('\n')
		switch {
		case strings.HasPrefix(line, "ok  \t"), strings.HasPrefix(line, "?   \t"):
			pending.Reset()
			fmt.Fprint(w, line)
		case strings.HasPrefix(line, "FAIL\t"):
			fmt.Fprint(w, pending.String(), line)
			pending.Reset()
		default:
			pending.WriteString(line)
		}
		if err == io.EOF {
			fmt.Fprint(w, pending.String())
			return nil
		}
		if err != nil {
			return fmt.Errorf("casetable: %w", err)
		}
	}
}
