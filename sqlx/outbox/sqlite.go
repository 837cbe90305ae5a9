package outbox

// What SQLite does in several statements runs in one transaction, which is the only one that writes.

const (
	nowSQLite = `CAST(unixepoch('subsec') * 1000 AS INTEGER)`

	joinSQLite = `INSERT INTO mainstay_outbox_relay (holder, expires_ms) VALUES ($1, ` + nowSQLite + ` + $2)
		ON CONFLICT (holder) DO UPDATE SET expires_ms = excluded.expires_ms`

	claimSQLite = `UPDATE mainstay_outbox_lease SET holder = $1, expires_ms = ` + nowSQLite + ` + $2 WHERE shard IN (
		SELECT shard FROM mainstay_outbox_lease WHERE holder = $1 OR expires_ms <= ` + nowSQLite + `
		ORDER BY holder <> $1, shard LIMIT (
			SELECT ((SELECT count(*) FROM mainstay_outbox_lease) + count(*) - 1) / count(*)
			FROM mainstay_outbox_relay WHERE expires_ms > ` + nowSQLite + `
		)
	) RETURNING shard`

	// Deleted rows are gone at once here, and numbers are given out by the one that writes, so that the oldest are
	// simply the first.
	nextSQLite = `SELECT shard, seq, topic, message_id, message_key, envelope, data FROM mainstay_outbox
		WHERE shard IN ($shards)$topics ORDER BY seq LIMIT $1`
)

func (s *store) settleSQLite(sent []row, done bool) []statement {
	var ss []statement
	if len(sent) > 0 {
		ss = s.forgetSQLite(sent)
	}
	if done {
		ss = append(ss,
			statement{`UPDATE mainstay_outbox_lease SET expires_ms = 0 WHERE holder = $1`, []any{s.holder}},
			statement{`DELETE FROM mainstay_outbox_relay WHERE holder = $1 OR expires_ms < ` + nowSQLite + ` - ` + forgotten,
				[]any{s.holder}})
	}
	return ss
}

// forgetSQLite deletes rows, or moves them to those that were sent.
func (s *store) forgetSQLite(rows []row) []statement {
	seqs := make([]int64, len(rows))
	for i, r := range rows {
		seqs[i] = r.seq
	}
	// One parameter: a statement whose text does not depend on how many they are is prepared once.
	list := "[" + numbers(seqs) + "]"
	const which = ` FROM mainstay_outbox WHERE seq IN (SELECT value FROM json_each($1))`
	forget := statement{`DELETE` + which, []any{list}}
	if !s.keep {
		return []statement{forget}
	}
	return []statement{{`INSERT INTO mainstay_outbox_sent
		(sent_ms, seq, topic, message_id, message_key, envelope, data, created_ms)
		SELECT ` + nowSQLite + `, seq, topic, message_id, message_key, envelope, data, created_ms` + which,
		[]any{list}}, forget}
}
