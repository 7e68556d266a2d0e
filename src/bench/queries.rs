//! [`QUERIES`]: the questions, in the words of both engines.

use crate::error::{Error, Result};

/// One question about the stream of bids.
#[derive(Debug, Clone, Copy)]
pub struct BenchQuery {
    /// The name, as `--query` takes it.
    pub name: &'static str,
    /// What it asks.
    pub asks: &'static str,
    /// Whether it has windows, so that its source declares event time and watermark.
    pub has_window: bool,
    /// The query as a stream; it reads `bid`.
    pub velostream: &'static str,
    /// The same question to DataFusion.
    pub datafusion: &'static str,
}

/// All questions.
pub const QUERIES: &[BenchQuery] = &[
    BenchQuery {
        name: "q0",
        asks: "pass-through",
        has_window: false,
        velostream: "SELECT auction, bidder, price, dateTime, extra FROM bid",
        datafusion: r#"SELECT auction, bidder, price, "dateTime", extra FROM bid"#,
    },
    BenchQuery {
        name: "q1",
        asks: "currency conversion",
        has_window: false,
        velostream: "SELECT auction, bidder, 0.908 * price AS price, dateTime, extra FROM bid",
        datafusion: r#"SELECT auction, bidder, 0.908 * price AS price, "dateTime", extra FROM bid"#,
    },
    BenchQuery {
        name: "q2",
        asks: "filter on few auctions",
        has_window: false,
        velostream: "SELECT auction, price FROM bid WHERE auction % 123 = 0",
        datafusion: "SELECT auction, price FROM bid WHERE auction % 123 = 0",
    },
    BenchQuery {
        name: "f1",
        asks: "filter that keeps a fifth, and projection",
        has_window: false,
        // Prices are even by order of magnitude from 100 to 1e8 cents; 10^6.8 is where the upper fifth begins.
        velostream: "SELECT auction, bidder, price * 2 AS doubled, dateTime FROM bid WHERE price > 6309573",
        datafusion: r#"SELECT auction, bidder, price * 2 AS doubled, "dateTime" FROM bid WHERE price > 6309573"#,
    },
    BenchQuery {
        name: "t1",
        asks: "tumbling 10 s by auction, 4 aggregates",
        has_window: true,
        velostream: "SELECT auction, window_start, COUNT(*) AS bids, SUM(price) AS total, MIN(price) AS low, \
            MAX(price) AS high FROM bid GROUP BY auction WINDOW TUMBLING(dateTime, INTERVAL '10' SECOND)",
        datafusion: r#"SELECT auction, date_bin(INTERVAL '10 seconds', "dateTime") AS window_start,
            count(*) AS bids, sum(price) AS total, min(price) AS low, max(price) AS high
            FROM bid GROUP BY auction, date_bin(INTERVAL '10 seconds', "dateTime")"#,
    },
    BenchQuery {
        name: "t2",
        asks: "tumbling 10 s by channel (text), 3 aggregates",
        has_window: true,
        velostream: "SELECT channel, window_start, COUNT(*) AS bids, AVG(price) AS mean, MAX(price) AS high \
            FROM bid GROUP BY channel WINDOW TUMBLING(dateTime, INTERVAL '10' SECOND)",
        datafusion: r#"SELECT channel, date_bin(INTERVAL '10 seconds', "dateTime") AS window_start,
            count(*) AS bids, avg(price) AS mean, max(price) AS high
            FROM bid GROUP BY channel, date_bin(INTERVAL '10 seconds', "dateTime")"#,
    },
    BenchQuery {
        name: "q17",
        asks: "statistics of each auction by day, as changes",
        has_window: false,
        velostream: "SELECT auction, DATE_FORMAT(dateTime, '%Y-%m-%d') AS day, COUNT(*) AS total_bids, \
            COUNT(*) FILTER (WHERE price < 10000) AS rank1_bids, \
            COUNT(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bids, \
            COUNT(*) FILTER (WHERE price >= 1000000) AS rank3_bids, MIN(price) AS min_price, \
            MAX(price) AS max_price, AVG(price) AS avg_price, SUM(price) AS sum_price \
            FROM bid GROUP BY auction, DATE_FORMAT(dateTime, '%Y-%m-%d') EMIT CHANGES",
        datafusion: r#"SELECT auction, date_format("dateTime", '%Y-%m-%d') AS day, count(*) AS total_bids,
            count(*) FILTER (WHERE price < 10000) AS rank1_bids,
            count(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bids,
            count(*) FILTER (WHERE price >= 1000000) AS rank3_bids, min(price) AS min_price,
            max(price) AS max_price, avg(price) AS avg_price, sum(price) AS sum_price
            FROM bid GROUP BY auction, date_format("dateTime", '%Y-%m-%d')"#,
    },
    // Bids of one instant or of one price are told apart by further columns, so that the answers compare.
    BenchQuery {
        name: "q18",
        asks: "the last bid of each bidder on each auction, as changes",
        has_window: false,
        velostream: "SELECT auction, bidder, price, channel, url, dateTime, extra FROM bid \
            QUALIFY ROW_NUMBER() OVER (PARTITION BY bidder, auction ORDER BY dateTime DESC, price DESC, extra) = 1 \
            EMIT CHANGES",
        datafusion: r#"SELECT auction, bidder, price, channel, url, "dateTime", extra FROM bid
            QUALIFY row_number() OVER (PARTITION BY bidder, auction ORDER BY "dateTime" DESC, price DESC, extra) = 1"#,
    },
    BenchQuery {
        name: "q19",
        asks: "the ten highest bids of each auction, as changes",
        has_window: false,
        velostream: "SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY auction \
            ORDER BY price DESC, dateTime, bidder, extra) AS place FROM bid) WHERE place <= 10 EMIT CHANGES",
        datafusion: r#"SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY auction
            ORDER BY price DESC, "dateTime", bidder, extra) AS place FROM bid) WHERE place <= 10"#,
    },
];

/// Returns the question of that name, or all if none is given.
pub(super) fn queries(name: Option<&str>) -> Result<Vec<BenchQuery>> {
    let Some(name) = name else { return Ok(QUERIES.to_vec()) };
    match QUERIES.iter().find(|query| query.name.eq_ignore_ascii_case(name)) {
        Some(query) => Ok(vec![*query]),
        None => {
            let names: Vec<_> = QUERIES.iter().map(|query| query.name).collect();
            Err(Error::invalid(format!("unknown benchmark query `{name}`"))
                .with_hint(format!("accepted: {}", names.join(", "))))
        }
    }
}
