package sqspubsub

import (
	"fmt"
	"strings"
)

const (
	maxQueueName = 80
	maxTopicName = 256
	fifoSuffix   = ".fifo"
)

// plainName writes a name in what SQS and SNS take: letters, digits, '-' and '_'. A '.' becomes "_" and a '_' becomes
// "__". So that no two names meet, a run of several of ".", "_" and "@", which stands between topic and subscription,
// is as many '_' as its number in the row ., _, @, .., ._, .@, _., … of all such runs, the shorter ones first.
func plainName(s string) string {
	var b strings.Builder
	run := 0
	for i := range len(s) {
		if digit := 1 + strings.IndexByte("._@", s[i]); digit > 0 {
			run = min(3*run+digit, maxTopicName+1) // longer than any name may be
			continue
		}
		b.WriteString(strings.Repeat("_", run))
		run = 0
		b.WriteByte(s[i])
	}
	b.WriteString(strings.Repeat("_", run))
	return b.String()
}

// serviceName returns the plain name of s with the suffix of its kind.
func serviceName(kind, s string, fifo bool, limit int) (string, error) {
	name := plainName(s)
	if fifo {
		name += fifoSuffix
	}
	if len(name) > limit {
		return "", permanentError{fmt.Errorf("sqspubsub: %s name %q has %d characters, at most %d are allowed",
			kind, name, len(name), limit)}
	}
	return name, nil
}
