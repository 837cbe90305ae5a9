package natspubsub

import "strings"

// replied is what the subject that takes the answers to a delivery says about it.
type replied struct {
	stream    string
	delivered uint64 // times, this one included
	seq       uint64 // in the stream
	stored    uint64 // when, in ns since 1970
}

// parseReply reads the subject of an acknowledgement (ADR-15), "$JS.ACK." and
//
//	STREAM.CONSUMER.DELIVERED.STREAM_SEQUENCE.CONSUMER_SEQUENCE.TIME.PENDING
//
// before which a newer server puts DOMAIN.ACCOUNT, and after which it may put more.
func parseReply(subject string) (r replied, ok bool) {
	rest, ok := strings.CutPrefix(subject, "$JS.ACK.")
	dots := strings.Count(rest, ".")
	if !ok || dots < 6 || dots == 7 {
		return r, false
	}
	if dots > 7 {
		_, rest, _ = strings.Cut(rest, ".")
		_, rest, _ = strings.Cut(rest, ".")
	}
	r.stream, rest, _ = strings.Cut(rest, ".")
	_, rest, _ = strings.Cut(rest, ".")
	var consumerSeq uint64
	for _, n := range []*uint64{&r.delivered, &r.seq, &consumerSeq, &r.stored} {
		var digits string
		digits, rest, _ = strings.Cut(rest, ".")
		if *n, ok = number(digits); !ok {
			return r, false
		}
	}
	return r, true
}

// number returns the value of a decimal number of at most 19 digits, which always fits.
func number(digits string) (n uint64, ok bool) {
	if digits == "" || len(digits) > 19 {
		return 0, false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, false
		}
		n = 10*n + uint64(digits[i]-'0')
	}
	return n, true
}
