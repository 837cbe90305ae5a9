package kafkapubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// letter is the Handle of what Browse returns.
type letter struct {
	topic     string
	partition int32
	offset    int64
}

// Browse returns what one partition has after the other. It implements driver.Browser.
func (b *Broker) Browse(ctx context.Context, topic, cursor string, n int) ([]*driver.Delivery, string, error) {
	first, from, err := parseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	if _, err := b.ensureTopic(ctx, topic); err != nil {
		return nil, "", err
	}
	ds, next, err := b.browse(ctx, topic, first, from, n)
	if err != nil {
		return nil, "", fmt.Errorf("kafkapubsub: browse %q: %w", topic, err)
	}
	return ds, next, nil
}

func (b *Broker) browse(ctx context.Context, topic string, first int32, from int64, n int) (
	ds []*driver.Delivery, next string, err error,
) {
	extent, err := b.extent(ctx, topic)
	if err != nil {
		return nil, "", err
	}
	for _, e := range extent {
		if e.id < first {
			continue
		}
		if e.id > first {
			from = 0
		}
		at := max(from, e.removed.below)
		if at >= e.end {
			continue
		}
		ds, at, err = b.read(ctx, topic, e, at, n)
		if err != nil || len(ds) > 0 {
			return ds, formatCursor(e.id, at), err
		}
	}
	return nil, formatCursor(int32(len(extent)), 0), nil
}

// extent is what a partition has: offsets from removed.below to before end, less what else was removed.
type extent struct {
	id      int32
	end     int64
	removed removed
}

func (b *Broker) extent(ctx context.Context, topic string) ([]extent, error) {
	starts, err := b.admin.ListStartOffsets(ctx, topic)
	if err := errors.Join(err, starts.Error()); err != nil {
		return nil, err
	}
	ends, err := b.admin.ListEndOffsets(ctx, topic)
	if err := errors.Join(err, ends.Error()); err != nil {
		return nil, err
	}
	notes, err := b.admin.FetchOffsets(ctx, removedGroup(topic))
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, err
	}
	var all []extent
	for id, end := range ends[topic] {
		e := extent{id: id, end: end.Offset}
		if note, ok := notes.Lookup(topic, id); ok && note.At >= 0 {
			e.removed, err = parseRemoved(note.At, note.Metadata)
			if err != nil {
				return nil, fmt.Errorf("partition %d, group %q: %w", id, removedGroup(topic), err)
			}
		}
		e.removed.raise(starts[topic][id].Offset)
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b extent) int { return int(a.id - b.id) })
	return all, nil
}

// read returns at most n messages of a partition from the offset at on, and the offset behind the last one looked at.
func (b *Broker) read(ctx context.Context, topic string, e extent, at int64, n int) ([]*driver.Delivery, int64, error) {
	client, err := kgo.NewClient(append(slices.Clone(b.client.Opts()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {e.id: kgo.NewOffset().At(at)}}),
		kgo.KeepControlRecords(), // the last offset may be one
		kgo.DisableClientMetrics(),
	)...)
	if err != nil {
		return nil, at, err
	}
	defer client.Close()
	var ds []*driver.Delivery
	var c decoder
	for at < e.end && len(ds) < n {
		fetches := client.PollRecords(ctx, n-len(ds))
		if err := fetches.Err(); err != nil {
			return nil, at, err
		}
		var there []*kgo.Record
		fetches.EachRecord(func(r *kgo.Record) {
			at = r.Offset + 1
			if r.Offset < e.end && !r.Attrs.IsControl() && !e.removed.has(r.Offset) {
				there = append(there, r)
			}
		})
		for _, found := range c.entries(there) {
			found.d.Handle = letter{topic, e.id, found.offset}
			ds = append(ds, &found.d)
		}
	}
	return ds, at, nil
}

func formatCursor(partition int32, offset int64) string {
	return fmt.Sprintf("%d/%d", partition, offset)
}

func parseCursor(s string) (partition int32, offset int64, err error) {
	if s == "" {
		return 0, 0, nil
	}
	p, o, _ := strings.Cut(s, "/")
	id, err := strconv.ParseInt(p, 10, 32)
	if err == nil {
		offset, err = strconv.ParseInt(o, 10, 64)
	}
	if err != nil || id < 0 || offset < 0 {
		return 0, 0, fmt.Errorf("kafkapubsub: browse: cursor %q is none that Browse returned", s)
	}
	return int32(id), offset, nil
}

// removedGroup is the group whose offsets say what was removed of a topic. No subscription's is called so.
func removedGroup(topic string) string { return "removed@@" + topic }

// Remove notes that ds are gone: Kafka deletes no single record. Up to the first one that is left, the offset that the
// group removed@@TOPIC has committed says so; beyond, the ranges in that offset's metadata, for which the broker has
// room for some hundreds (offset.metadata.max.bytes). So letters are best removed about as they are browsed. One
// process at a time may remove from a topic. It implements driver.Browser.
func (b *Broker) Remove(ctx context.Context, topic string, ds []*driver.Delivery) error {
	if b.err != nil {
		return b.err
	}
	b.removing.Lock()
	defer b.removing.Unlock()
	if err := b.remove(ctx, topic, ds); err != nil {
		return fmt.Errorf("kafkapubsub: remove from %q: %w", topic, err)
	}
	return nil
}

func (b *Broker) remove(ctx context.Context, topic string, ds []*driver.Delivery) error {
	all, err := b.extent(ctx, topic)
	if err != nil {
		return err
	}
	touched := make(map[int]bool)
	for _, d := range ds {
		l, ok := d.Handle.(letter)
		if !ok || l.topic != topic {
			return permanentError{fmt.Errorf("%q is not what Browse returned", d.Position)}
		}
		at := slices.IndexFunc(all, func(e extent) bool { return e.id == l.partition })
		if at < 0 {
			continue
		}
		all[at].removed.add(l.offset)
		touched[at] = true
	}
	if len(touched) == 0 {
		return nil
	}
	changed := make(kadm.Offsets)
	for at := range touched {
		e := &all[at]
		changed.Add(kadm.Offset{
			Topic: topic, Partition: e.id, At: e.removed.below, LeaderEpoch: -1, Metadata: e.removed.String(),
		})
	}
	err = persist(ctx, func(ctx context.Context) error { return b.commitAll(ctx, removedGroup(topic), changed) })
	if errors.Is(err, kerr.OffsetMetadataTooLarge) {
		return permanentError{fmt.Errorf("too many letters are left between those that were removed: "+
			"remove the oldest first: %w", err)}
	}
	return err
}
