package sqspubsub

// PlainName is what a stranger has to know.
func PlainName(s string) string { return plainName(s) }
