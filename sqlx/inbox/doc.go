// Package inbox makes the effect of a message happen once, however often the message is delivered: the record that it
// was handled, the handler's own writes and the events that it publishes through the outbox commit together or not at
// all.
package inbox
