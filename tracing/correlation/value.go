package correlation

// Value returns what a context with the given ID and cause has under key, nil where key is not this package's. It is for
// the Value method of a context type that has both in fields of its own, and so answers [FromContext] and [Cause] without
// the copies that [NewContext] and [WithCause] make. What is not [Valid] is none.
func Value(key any, id, cause string) any {
	switch key.(type) {
	case contextKey:
		return ifValid(id)
	case causeKey:
		return ifValid(cause)
	}
	return nil
}

func ifValid(s string) string {
	if Valid(s) {
		return s
	}
	return ""
}
