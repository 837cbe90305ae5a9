-- One row a message handled. Without a rowid the key is the table, and stored once.
CREATE TABLE mainstay_inbox (
    subscription TEXT NOT NULL,
    topic        TEXT NOT NULL,
    message_id   TEXT NOT NULL,
    handled_ms   INTEGER NOT NULL,
    PRIMARY KEY (subscription, topic, message_id)
) WITHOUT ROWID;

-- For Prune.
CREATE INDEX mainstay_inbox_handled ON mainstay_inbox (handled_ms);
