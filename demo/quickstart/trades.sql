-- One-minute bars of trades that arrive out of order: open, high, low, close and volume for each symbol.
--
--   cargo run -- run demo/quickstart/trades.sql
--
-- Prices are DECIMAL from the file to the file: nothing passes through a float.

-- Two files, read one after the other as one stream. Rows may be five seconds out of order; one line is not a
-- trade at all, and is left out and counted.
CREATE STREAM trades (
  trade_id BIGINT,
  symbol VARCHAR,
  price DECIMAL(12, 4),
  quantity BIGINT,
  ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (
  'connector' = 'file',
  'path' = 'demo/quickstart/data/trades-*.csv',
  'file.sequence' = 'name',
  'on.error' = 'skip'
);

CREATE STREAM bars WITH ('connector' = 'file', 'path' = 'demo/quickstart/out/bars.csv');

-- A bar is written once, when the watermark passes the end of its minute, and never changed afterwards. A trade that
-- comes later than that is counted as late.
-- @name: minute-bars
INSERT INTO bars
SELECT
  window_start,
  symbol,
  first_value(price) AS open,
  max(price) AS high,
  min(price) AS low,
  last_value(price) AS close,
  sum(quantity) AS volume,
  sum(price * quantity) AS turnover
FROM trades
WINDOW TUMBLING(1m)
GROUP BY window_start, symbol;
