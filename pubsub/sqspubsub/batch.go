package sqspubsub

import "slices"

// batches splits messages by count and bytes. On a FIFO queue a batch has one message of a key at most, so that one
// that is refused is not overtaken by its successors.
func batches(all []*outgoing, limit int, fifo bool) [][]*outgoing {
	var parts [][]*outgoing
	var part []*outgoing
	bytes, keys := 0, map[string]bool{}
	for _, o := range all {
		if len(part) == maxBatch || bytes+o.bytes > limit && len(part) > 0 || fifo && o.key != "" && keys[o.key] {
			parts, part, bytes = append(parts, part), nil, 0
			clear(keys)
		}
		part = append(part, o)
		bytes += o.bytes
		keys[o.key] = true
	}
	if len(part) > 0 {
		parts = append(parts, part)
	}
	return parts
}

// predecessors returns, for each part, the earlier parts that it has to wait for: the last ones with its keys.
func predecessors(parts [][]*outgoing) [][]int {
	last := make(map[string]int)
	before := make([][]int, len(parts))
	for i, part := range parts {
		for _, o := range part {
			if o.key == "" {
				continue
			}
			if j, ok := last[o.key]; ok && j < i && !slices.Contains(before[i], j) {
				before[i] = append(before[i], j)
			}
			last[o.key] = i
		}
	}
	return before
}
