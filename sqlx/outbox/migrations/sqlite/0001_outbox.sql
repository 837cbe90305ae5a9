-- Messages that are to leave once the transaction that wrote them has committed. Package outbox describes them.
-- AUTOINCREMENT: without it the number of a deleted row is used again, and a relay that was held up would delete
-- another message than the one it has sent.
CREATE TABLE mainstay_outbox (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of insertion
    topic       TEXT    NOT NULL,
    message_id  TEXT    NOT NULL,
    message_key TEXT    NOT NULL, -- '' for none
    envelope    TEXT    NOT NULL, -- the other attributes, as JSON
    data        BLOB    NOT NULL,
    created_ms  INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER)),
    parked_ms   INTEGER, -- when it was set aside, NULL for a message that is to be sent
    error       TEXT     -- why it was set aside
);

-- Who relays, and until when.
CREATE TABLE mainstay_outbox_lease (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    holder     TEXT    NOT NULL,
    expires_ms INTEGER NOT NULL
);

INSERT INTO mainstay_outbox_lease (id, holder, expires_ms) VALUES (1, '', 0);
