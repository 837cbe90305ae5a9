package outbox

import (
	"context"
	"strings"
)

// nowPostgres is sqlx.Postgres.Now(), as a constant.
const nowPostgres = `CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)`

// claimPostgres is one statement, and so one round trip. SKIP LOCKED: of two relays that claim at once the second takes
// what the first did not, and waits for nothing.
const claimPostgres = `WITH me AS (
		INSERT INTO mainstay_outbox_relay (holder, expires_ms) VALUES ($1, ` + nowPostgres + ` + CAST($2 AS BIGINT))
		ON CONFLICT (holder) DO UPDATE SET expires_ms = excluded.expires_ms
	), part AS (
		SELECT ((SELECT count(*) FROM mainstay_outbox_lease) + count(*)) / (count(*) + 1) AS n
		FROM mainstay_outbox_relay WHERE holder <> $1 AND expires_ms > ` + nowPostgres + `
	), pick AS (
		SELECT shard FROM mainstay_outbox_lease WHERE holder = $1 OR expires_ms <= ` + nowPostgres + `
		ORDER BY holder <> $1, shard LIMIT (SELECT n FROM part) FOR UPDATE SKIP LOCKED
	)
	UPDATE mainstay_outbox_lease AS l SET holder = $1, expires_ms = ` + nowPostgres + ` + CAST($2 AS BIGINT)
	FROM pick WHERE l.shard = pick.shard RETURNING l.shard`

// nextPostgres reads a few rows of each shard along its part of the primary key, in order, from where there may be
// something on, and stops at the limit: nothing is sorted, and nothing read twice. Few, since rows of about the same
// time are in the same pages, whatever their shards.
const nextPostgres = `SELECT o.shard, o.seq, o.topic, o.message_id, o.message_key, o.envelope, o.data
	FROM unnest(CAST($1 AS SMALLINT[]), CAST($2 AS BIGINT[])) AS s (shard, after)
	CROSS JOIN LATERAL (
		SELECT shard, seq, topic, message_id, message_key, envelope, data FROM mainstay_outbox
		WHERE shard = s.shard AND seq > s.after$topics ORDER BY seq LIMIT $4
	) AS o LIMIT $3`

// nextPostgresBehind is the same, under another text for the sake of its plan. Drivers prepare a statement once, and
// the server keeps the plan that it made then. Made while the table is empty it is a sequential scan, which is ruinous
// once a backlog is there, and stays until the table is next analysed. This text is only used, and so only planned,
// when the table has at least one batch.
const nextPostgresBehind = nextPostgres + ` -- behind`

// settlePostgres forgets what was sent, and gives the leases back where the work is done, by one statement: one round
// trip, and one commit. What differs from call to call is in its text, so that drivers do not prepare it, and it is
// planned for the table as it is.
func (s *store) settlePostgres(sent []row, done bool) []statement {
	var with []string
	end := `SELECT 1`
	if len(sent) > 0 {
		with = s.forgetPostgres(sent)
	}
	if done {
		holder := `'` + s.holder + `'` // a UUID
		with = append(with, `leave AS (DELETE FROM mainstay_outbox_relay WHERE holder = `+holder+`
			OR expires_ms < `+nowPostgres+` - `+forgotten+`)`)
		end = `UPDATE mainstay_outbox_lease SET expires_ms = 0 WHERE holder = ` + holder
	}
	if len(with) == 0 {
		return nil
	}
	return []statement{{text: `WITH ` + strings.Join(with, ", ") + ` ` + end}}
}

// forgetPostgres deletes rows, or moves them to those that were sent.
func (s *store) forgetPostgres(rows []row) []string {
	ns, seqs := make([]int16, len(rows)), make([]int64, len(rows))
	for i, r := range rows {
		ns[i], seqs[i] = r.shard, r.seq
	}
	forget := `DELETE FROM mainstay_outbox AS o USING
		unnest(CAST('{` + numbers(ns) + `}' AS SMALLINT[]), CAST('{` + numbers(seqs) + `}' AS BIGINT[])) AS d (shard, seq)
		WHERE o.shard = d.shard AND o.seq = d.seq`
	if !s.keep {
		return []string{`gone AS (` + forget + `)`}
	}
	return []string{`gone AS (` + forget + ` RETURNING o.*)`, `kept AS (INSERT INTO mainstay_outbox_sent
		(sent_ms, seq, topic, message_id, message_key, envelope, data, created_ms)
		SELECT ` + nowPostgres + `, seq, topic, message_id, message_key, envelope, data, created_ms FROM gone)`}
}

// writers returns the transactions that may have numbers in mainstay_outbox which nobody can see yet: a transaction
// locks the table before it takes its first number, and until it has ended. Anybody may read pg_locks.
func (s *store) writers(ctx context.Context) (map[string]bool, error) {
	rs, err := s.db.QueryContext(ctx, `SELECT virtualtransaction FROM pg_catalog.pg_locks
		WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND relation = CAST('mainstay_outbox' AS regclass)
		AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())`)
	if err != nil {
		return nil, err
	}
	defer rs.Close()
	all := map[string]bool{}
	for rs.Next() {
		var id string
		if err := rs.Scan(&id); err != nil {
			return nil, err
		}
		all[id] = true
	}
	return all, rs.Err()
}
