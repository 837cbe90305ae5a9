package table

import (
	"strings"

	"github.com/mainstay-go/mainstay/sqlx"
)

// List writes texts as one parameter: an array literal for PostgreSQL, a JSON array for SQLite's json_each. The text of a
// statement then does not depend on how many they are, and it is prepared once. None of texts may hold a control
// character; all must be UTF-8.
func List(d sqlx.Dialect, texts []string) string {
	open, shut := byte('{'), byte('}')
	if d == sqlx.SQLite {
		open, shut = '[', ']'
	}
	size := 2
	for _, s := range texts {
		size += len(s) + 3
	}
	var b strings.Builder
	b.Grow(size)
	b.WriteByte(open)
	for i, s := range texts {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"') // quotes and backslashes are escaped alike in both
		if strings.ContainsAny(s, `"\`) {
			s = strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(s)
		}
		b.WriteString(s)
		b.WriteByte('"')
	}
	b.WriteByte(shut)
	return b.String()
}
