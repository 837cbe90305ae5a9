-- Messages that are to leave once the transaction that wrote them has committed. Package outbox describes them. Every
-- row here is to be sent: what was sent, or set aside, is in the tables below.
-- AUTOINCREMENT: without it the number of a deleted row is used again, and a relay that was held up would delete
-- another message than the one it has sent.
CREATE TABLE mainstay_outbox (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of insertion
    shard       INTEGER NOT NULL, -- of the topic and the key: messages of one key are in one shard
    topic       TEXT    NOT NULL,
    message_id  TEXT    NOT NULL,
    message_key TEXT    NOT NULL, -- '' for none
    envelope    TEXT    NOT NULL, -- the other attributes, as JSON
    data        BLOB    NOT NULL,
    created_ms  INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER))
);

-- Messages that the broker refused for good, until somebody decides.
CREATE TABLE mainstay_outbox_parked (
    seq         INTEGER PRIMARY KEY,
    shard       INTEGER NOT NULL,
    topic       TEXT    NOT NULL,
    message_id  TEXT    NOT NULL,
    message_key TEXT    NOT NULL,
    envelope    TEXT    NOT NULL,
    data        BLOB    NOT NULL,
    created_ms  INTEGER NOT NULL,
    parked_ms   INTEGER NOT NULL,
    error       TEXT    NOT NULL -- why it was set aside
);

-- Messages that were sent, where relays keep them.
CREATE TABLE mainstay_outbox_sent (
    sent_ms     INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    topic       TEXT    NOT NULL,
    message_id  TEXT    NOT NULL,
    message_key TEXT    NOT NULL,
    envelope    TEXT    NOT NULL,
    data        BLOB    NOT NULL,
    created_ms  INTEGER NOT NULL,
    PRIMARY KEY (sent_ms, seq)
);

-- Who relays which shard, and until when.
CREATE TABLE mainstay_outbox_lease (
    shard      INTEGER PRIMARY KEY,
    holder     TEXT    NOT NULL,
    expires_ms INTEGER NOT NULL
);

INSERT INTO mainstay_outbox_lease (shard, holder, expires_ms)
    WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 31) SELECT i, '', 0 FROM n;

-- The relays that want shards, so that each takes its part.
CREATE TABLE mainstay_outbox_relay (
    holder     TEXT    PRIMARY KEY,
    expires_ms INTEGER NOT NULL
);
