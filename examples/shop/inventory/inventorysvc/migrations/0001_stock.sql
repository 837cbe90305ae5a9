-- Below zero is back-ordered.
CREATE TABLE stock (
	sku     TEXT PRIMARY KEY,
	on_hand BIGINT NOT NULL
);

INSERT INTO stock (sku, on_hand) VALUES ('tea', 1000), ('coffee', 1000), ('mug', 1000);

-- Nothing here is unique to an order, on purpose: that there is one row an order is the inbox's doing alone.
CREATE TABLE reservations (
	order_id   TEXT NOT NULL,
	sku        TEXT NOT NULL,
	quantity   INTEGER NOT NULL,
	created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX reservations_order_id ON reservations (order_id);
