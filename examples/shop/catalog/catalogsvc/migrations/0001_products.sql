CREATE TABLE products (
	sku         TEXT PRIMARY KEY,
	name        TEXT NOT NULL,
	price_cents BIGINT NOT NULL
);

INSERT INTO products (sku, name, price_cents) VALUES
	('tea',    'Green tea, 100 g', 690),
	('coffee', 'Coffee, 250 g',    840),
	('mug',    'Mug',              1250);
