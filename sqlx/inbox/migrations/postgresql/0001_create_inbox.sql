-- One row a message handled. COLLATE "C" compares bytes: faster, and no upgrade of a collation reorders the index.
CREATE TABLE mainstay_inbox (
    subscription TEXT COLLATE "C" NOT NULL,
    topic        TEXT COLLATE "C" NOT NULL,
    message_id   TEXT COLLATE "C" NOT NULL,
    handled_ms   BIGINT NOT NULL,
    PRIMARY KEY (subscription, topic, message_id)
);

-- For Prune. It has no name of its own, so that the table's may carry a schema.
CREATE INDEX ON mainstay_inbox (handled_ms);
