-- Nothing here is unique to an order, on purpose: that there is one row an order is the inbox's doing alone.
CREATE TABLE charges (
	order_id     TEXT NOT NULL,
	customer_id  TEXT NOT NULL,
	amount_cents BIGINT NOT NULL,
	created_at   TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX charges_order_id ON charges (order_id);
