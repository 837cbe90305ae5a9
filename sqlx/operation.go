package sqlx

import "strings"

// operation is what a statement does, as a metric label has it: one of a fixed list, whatever is sent.
type operation uint8

const (
	opOther operation = iota
	opBegin
	opCommit
	opRollback
	opPrepare
	opSelect
	opInsert
	opUpdate
	opDelete
	opWith
	opReplace
	opCreate
	opAlter
	opDrop
	opMerge
	opSavepoint
	opRelease
	opTruncate
	opCopy
	opCall
	opLock
	opExplain
	opPragma
	opVacuum
	opAnalyze
	opListen
	opNotify
	opShow
	operations // how many there are
)

func (op operation) String() string {
	return [operations]string{
		"OTHER", "BEGIN", "COMMIT", "ROLLBACK", "PREPARE", "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "REPLACE",
		"CREATE", "ALTER", "DROP", "MERGE", "SAVEPOINT", "RELEASE", "TRUNCATE", "COPY", "CALL", "LOCK", "EXPLAIN", "PRAGMA",
		"VACUUM", "ANALYZE", "LISTEN", "NOTIFY", "SHOW",
	}[op]
}

// operationOf returns the operation that a statement's first word names, opOther where it names none.
func operationOf(query string) operation {
	w := firstWord(query)
	for op := range operations {
		if name := op.String(); len(name) == len(w) && strings.EqualFold(name, w) {
			return op
		}
	}
	return opOther
}

// firstWord returns query's first run of ASCII letters, past blanks, comments and opening parentheses.
func firstWord(query string) string {
	for {
		query = strings.TrimLeft(query, " \t\r\n(;")
		var end string
		switch {
		case strings.HasPrefix(query, "--"):
			end = "\n"
		case strings.HasPrefix(query, "/*"):
			end = "*/"
		default:
			i := 0
			for i < len(query) && (query[i]|0x20 >= 'a' && query[i]|0x20 <= 'z') {
				i++
			}
			return query[:i]
		}
		_, rest, ok := strings.Cut(query[2:], end)
		if !ok {
			return ""
		}
		query = rest
	}
}

// writes reports whether op takes SQLite's write lock for itself.
func (op operation) writes() bool {
	switch op {
	case opInsert, opUpdate, opDelete, opReplace, opWith, opCreate, opAlter, opDrop:
		return true
	}
	return false
}
