package httpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strconv"

	"github.com/mainstay-go/mainstay/metrics"
)

// The values of error_type beside the status codes.
const (
	errCanceled = "canceled"
	errTimeout  = "timeout"
	errDNS      = "dns"
	errConnect  = "connect"
	errTLS      = "tls"
)

// errorType classifies an attempt that got no response. The context decides before the error, and its cause before it:
// a transport may say "canceled" of both a caller that left and a time-out of ours.
func errorType(ctx context.Context, err error) string {
	if ended := ctx.Err(); ended != nil {
		if errors.Is(ended, context.DeadlineExceeded) || errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			return errTimeout
		}
		return errCanceled
	}
	var dns *net.DNSError
	var op *net.OpError
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled):
		return errCanceled
	case errors.As(err, &dns):
		return errDNS // also where it took too long
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return errTimeout
	case errors.As(err, &verify), errors.As(err, &record):
		return errTLS
	case errors.As(err, &op) && op.Op == "dial":
		return errConnect
	}
	return metrics.Other
}

// outcome is one way in which an operation ended.
type outcome struct {
	status    int    // 0 where there was no response
	errorType string // "" for a success
	series    *metrics.Series
}

// noStatus stands for what is no status of HTTP (RFC 9110, 15): a server may invent any number.
const noStatus = 999

// outcome returns that of op by the status of a response, or 0 and the type of an error.
func (p *peers) outcome(op *operation, status int, errorType string) *outcome {
	if status != 0 && (status < 100 || status > 599) {
		status = noStatus
	}
	if out := find(*op.outcomes.Load(), status, errorType); out != nil {
		return out
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	list := *op.outcomes.Load()
	if out := find(list, status, errorType); out != nil {
		return out
	}
	out := &outcome{status: status, errorType: errorType}
	label := statusLabel(status)
	if status >= 400 {
		out.errorType = label
	}
	out.series = p.red.With(op.method.String(), op.peer.address, op.peer.port, op.template, label, out.errorType)
	list = append(slices.Clip(list), out)
	op.outcomes.Store(&list)
	return out
}

func find(list []*outcome, status int, errorType string) *outcome {
	for _, out := range list {
		if out.status == status && (status > 0 || out.errorType == errorType) {
			return out
		}
	}
	return nil
}

func statusLabel(status int) string {
	switch status {
	case 0:
		return ""
	case noStatus:
		return metrics.Other
	}
	return strconv.Itoa(status)
}
