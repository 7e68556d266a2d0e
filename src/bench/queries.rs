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
        name: "h1",
        asks: "hopping 10 s every 2 s by auction, 4 aggregates",
        has_window: true,
        velostream: "SELECT auction, window_start, COUNT(*) AS bids, SUM(price) AS total, MIN(price) AS low, \
            MAX(price) AS high FROM bid GROUP BY auction WINDOW SLIDING(dateTime, 10s, 2s)",
        datafusion: r#"SELECT auction, window_start, count(*) AS bids, sum(price) AS total, min(price) AS low,
            max(price) AS high
            FROM (SELECT bid.*, date_bin(INTERVAL '2 seconds', "dateTime") - back AS window_start
                FROM bid CROSS JOIN (VALUES (INTERVAL '0 seconds'), (INTERVAL '2 seconds'), (INTERVAL '4 seconds'),
                    (INTERVAL '6 seconds'), (INTERVAL '8 seconds')) AS b(back))
            GROUP BY auction, window_start"#,
    },
    BenchQuery {
        name: "q5",
        asks: "the auctions with the most bids of each 10 s, every 2 s",
        has_window: true,
        velostream: "SELECT auction, num, window_start FROM (SELECT auction, COUNT(*) AS num, window_start \
            FROM TABLE(HOP(TABLE bid, DESCRIPTOR(dateTime), INTERVAL '2' SECOND, INTERVAL '10' SECOND)) \
            GROUP BY auction, window_start, window_end) \
            QUALIFY RANK() OVER (PARTITION BY window_start ORDER BY num DESC) = 1",
        datafusion: r#"WITH counted AS (SELECT auction, count(*) AS num, window_start
            FROM (SELECT bid.*, date_bin(INTERVAL '2 seconds', "dateTime") - back AS window_start
                FROM bid CROSS JOIN (VALUES (INTERVAL '0 seconds'), (INTERVAL '2 seconds'), (INTERVAL '4 seconds'),
                    (INTERVAL '6 seconds'), (INTERVAL '8 seconds')) AS b(back))
            GROUP BY auction, window_start)
            SELECT c.auction, c.num, c.window_start FROM counted c
            JOIN (SELECT max(num) AS num, window_start FROM counted GROUP BY window_start) m
            ON c.window_start = m.window_start AND c.num = m.num"#,
    },
    BenchQuery {
        name: "q7",
        asks: "the highest bids of each 10 s",
        has_window: true,
        velostream: "SELECT auction, price, bidder, dateTime, extra FROM bid WINDOW TUMBLING(dateTime, 10s) \
            QUALIFY RANK() OVER (ORDER BY price DESC) = 1",
        datafusion: r#"WITH bids AS (SELECT *, date_bin(INTERVAL '10 seconds', "dateTime") AS w FROM bid)
            SELECT b.auction, b.price, b.bidder, b."dateTime", b.extra FROM bids b
            JOIN (SELECT max(price) AS price, w FROM bids GROUP BY w) m ON b.w = m.w AND b.price = m.price"#,
    },
    BenchQuery {
        name: "q11",
        asks: "sessions of each bidder with a gap of 10 s",
        has_window: true,
        velostream: "SELECT bidder, COUNT(*) AS bids, window_start, window_end FROM bid GROUP BY bidder \
            WINDOW SESSION(dateTime, INTERVAL '10' SECOND)",
        datafusion: r#"WITH marked AS (SELECT bidder, "dateTime" AS t, CASE WHEN "dateTime" <
                lag("dateTime") OVER (PARTITION BY bidder ORDER BY "dateTime") + INTERVAL '10 seconds'
                THEN 0 ELSE 1 END AS begins FROM bid),
            numbered AS (SELECT bidder, t, sum(begins) OVER (PARTITION BY bidder ORDER BY t
                ROWS UNBOUNDED PRECEDING) AS session FROM marked)
            SELECT bidder, count(*) AS bids, min(t) AS window_start, max(t) + INTERVAL '10 seconds' AS window_end
            FROM numbered GROUP BY bidder, session"#,
    },
    // The benchmark asks this by the clock, which gives no answer that two runs agree on: here it is the time of the bids.
    BenchQuery {
        name: "q12",
        asks: "bids of each bidder in each 10 s",
        has_window: true,
        velostream: "SELECT bidder, COUNT(*) AS bids, window_start, window_end FROM bid GROUP BY bidder \
            WINDOW TUMBLING(dateTime, INTERVAL '10' SECOND)",
        datafusion: r#"SELECT bidder, count(*) AS bids, date_bin(INTERVAL '10 seconds', "dateTime") AS window_start,
            date_bin(INTERVAL '10 seconds', "dateTime") + INTERVAL '10 seconds' AS window_end
            FROM bid GROUP BY bidder, date_bin(INTERVAL '10 seconds', "dateTime")"#,
    },
    BenchQuery {
        name: "q15",
        asks: "statistics of each day with distinct bidders and auctions, as changes",
        has_window: false,
        velostream: r#"SELECT DATE_FORMAT(dateTime, '%Y-%m-%d') AS day, count(*) AS total_bids,
            count(*) FILTER (WHERE price < 10000) AS rank1_bids,
            count(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bids,
            count(*) FILTER (WHERE price >= 1000000) AS rank3_bids,
            count(DISTINCT bidder) AS total_bidders,
            count(DISTINCT bidder) FILTER (WHERE price < 10000) AS rank1_bidders,
            count(DISTINCT bidder) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bidders,
            count(DISTINCT bidder) FILTER (WHERE price >= 1000000) AS rank3_bidders,
            count(DISTINCT auction) AS total_auctions,
            count(DISTINCT auction) FILTER (WHERE price < 10000) AS rank1_auctions,
            count(DISTINCT auction) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_auctions,
            count(DISTINCT auction) FILTER (WHERE price >= 1000000) AS rank3_auctions
            FROM bid GROUP BY DATE_FORMAT(dateTime, '%Y-%m-%d') EMIT CHANGES"#,
        datafusion: r#"SELECT date_format("dateTime", '%Y-%m-%d') AS day, count(*) AS total_bids,
            count(*) FILTER (WHERE price < 10000) AS rank1_bids,
            count(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bids,
            count(*) FILTER (WHERE price >= 1000000) AS rank3_bids,
            count(DISTINCT bidder) AS total_bidders,
            count(DISTINCT bidder) FILTER (WHERE price < 10000) AS rank1_bidders,
            count(DISTINCT bidder) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bidders,
            count(DISTINCT bidder) FILTER (WHERE price >= 1000000) AS rank3_bidders,
            count(DISTINCT auction) AS total_auctions,
            count(DISTINCT auction) FILTER (WHERE price < 10000) AS rank1_auctions,
            count(DISTINCT auction) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_auctions,
            count(DISTINCT auction) FILTER (WHERE price >= 1000000) AS rank3_auctions
            FROM bid GROUP BY date_format("dateTime", '%Y-%m-%d')"#,
    },
    BenchQuery {
        name: "q16",
        asks: "statistics of each channel and day with distinct bidders and auctions, as changes",
        has_window: false,
        velostream: r#"SELECT channel, DATE_FORMAT(dateTime, '%Y-%m-%d') AS day,
            max(DATE_FORMAT(dateTime, '%H:%M')) AS minute, count(*) AS total_bids,
            count(*) FILTER (WHERE price < 10000) AS rank1_bids,
            count(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bids,
            count(*) FILTER (WHERE price >= 1000000) AS rank3_bids,
            count(DISTINCT bidder) AS total_bidders,
            count(DISTINCT bidder) FILTER (WHERE price < 10000) AS rank1_bidders,
            count(DISTINCT bidder) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bidders,
            count(DISTINCT bidder) FILTER (WHERE price >= 1000000) AS rank3_bidders,
            count(DISTINCT auction) AS total_auctions,
            count(DISTINCT auction) FILTER (WHERE price < 10000) AS rank1_auctions,
            count(DISTINCT auction) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_auctions,
            count(DISTINCT auction) FILTER (WHERE price >= 1000000) AS rank3_auctions
            FROM bid GROUP BY channel, DATE_FORMAT(dateTime, '%Y-%m-%d') EMIT CHANGES"#,
        datafusion: r#"SELECT channel, date_format("dateTime", '%Y-%m-%d') AS day,
            max(date_format("dateTime", '%H:%M')) AS minute, count(*) AS total_bids,
            count(*) FILTER (WHERE price < 10000) AS rank1_bids,
            count(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bids,
            count(*) FILTER (WHERE price >= 1000000) AS rank3_bids,
            count(DISTINCT bidder) AS total_bidders,
            count(DISTINCT bidder) FILTER (WHERE price < 10000) AS rank1_bidders,
            count(DISTINCT bidder) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bidders,
            count(DISTINCT bidder) FILTER (WHERE price >= 1000000) AS rank3_bidders,
            count(DISTINCT auction) AS total_auctions,
            count(DISTINCT auction) FILTER (WHERE price < 10000) AS rank1_auctions,
            count(DISTINCT auction) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_auctions,
            count(DISTINCT auction) FILTER (WHERE price >= 1000000) AS rank3_auctions
            FROM bid GROUP BY channel, date_format("dateTime", '%Y-%m-%d')"#,
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
