-- Messages that are to leave once the transaction that wrote them has committed. Package outbox describes them. Every
-- row here is to be sent: what was sent, or set aside, is in the tables below. So the table stays small, and what was
-- deleted is cleared away soon, whatever the size was when it was last analysed.
CREATE TABLE mainstay_outbox (
    shard       SMALLINT NOT NULL, -- of the topic and the key: messages of one key are in one shard
    seq         BIGINT GENERATED ALWAYS AS IDENTITY, -- the order of insertion; never used again
    topic       TEXT   NOT NULL,
    message_id  TEXT   NOT NULL,
    message_key TEXT   NOT NULL, -- '' for none
    envelope    TEXT   NOT NULL, -- the other attributes, as JSON
    data        BYTEA  NOT NULL,
    created_ms  BIGINT NOT NULL DEFAULT (CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)),
    PRIMARY KEY (shard, seq)
) WITH (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000
);

-- Messages that the broker refused for good, until somebody decides.
CREATE TABLE mainstay_outbox_parked (
    seq         BIGINT   PRIMARY KEY,
    shard       SMALLINT NOT NULL,
    topic       TEXT     NOT NULL,
    message_id  TEXT     NOT NULL,
    message_key TEXT     NOT NULL,
    envelope    TEXT     NOT NULL,
    data        BYTEA    NOT NULL,
    created_ms  BIGINT   NOT NULL,
    parked_ms   BIGINT   NOT NULL,
    error       TEXT     NOT NULL -- why it was set aside
);

-- Messages that were sent, where relays keep them. The time comes first in the key, so that the table may as well be
-- created with PARTITION BY RANGE (sent_ms).
CREATE TABLE mainstay_outbox_sent (
    sent_ms     BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    topic       TEXT   NOT NULL,
    message_id  TEXT   NOT NULL,
    message_key TEXT   NOT NULL,
    envelope    TEXT   NOT NULL,
    data        BYTEA  NOT NULL,
    created_ms  BIGINT NOT NULL,
    PRIMARY KEY (sent_ms, seq)
);

-- Who relays which shard, and until when.
CREATE TABLE mainstay_outbox_lease (
    shard      SMALLINT PRIMARY KEY,
    holder     TEXT     NOT NULL,
    expires_ms BIGINT   NOT NULL
) WITH (fillfactor = 50);

INSERT INTO mainstay_outbox_lease (shard, holder, expires_ms) SELECT n, '', 0 FROM generate_series(0, 31) AS n;

-- The relays that want shards, so that each takes its part.
CREATE TABLE mainstay_outbox_relay (
    holder     TEXT   PRIMARY KEY,
    expires_ms BIGINT NOT NULL
) WITH (fillfactor = 50);
