package outbox

// shards is how many parts the messages are divided into, each relayed by one replica at a time. So it bounds how many
// replicas work at once; the tables hold one row for each.
const shards = 32

// shardOf returns the shard of a message: FNV-1a of 32 bits of the topic, a zero byte and the key, its upper half XORed
// into the lower, modulo shards. A
// message without a key has no order to keep, and goes by its ID. It must not change: while two versions of a service
// run, the rows of a key would be in two shards.
func shardOf(topic, key, id string) int16 {
	if key == "" {
		key = id
	}
	h := uint32(2166136261)
	for i := range len(topic) {
		h = (h ^ uint32(topic[i])) * 16777619
	}
	h *= 16777619 // the zero byte
	for i := range len(key) {
		h = (h ^ uint32(key[i])) * 16777619
	}
	// The lowest bits of FNV depend on nothing but the lowest bits of what is hashed.
	return int16((h ^ h>>16) % shards) //nolint:gosec // less than shards
}
