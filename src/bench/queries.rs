//! [`QUERIES`]: the questions, in the words of both engines.

use super::dataset::Dataset::{self, Auction, Bid, Person, SideInput};
use crate::error::{Error, Result};

/// One question about what happens at the auction site.
#[derive(Debug, Clone, Copy)]
pub struct BenchQuery {
    /// The name, as `--query` takes it.
    pub name: &'static str,
    /// What it asks.
    pub asks: &'static str,
    /// The streams that it reads.
    pub streams: &'static [Dataset],
    /// The tables that it looks rows up in.
    pub tables: &'static [Dataset],
    /// Whether it has windows, so that its streams declare event time and watermark.
    pub has_window: bool,
    /// Whether its answer changes while it is made, so that it is written as changes.
    pub has_changes: bool,
    /// The query as a stream.
    sql: &'static str,
    /// The same question in DataFusion's words, where they are not those of the stream.
    datafusion: Option<&'static str>,
}

impl BenchQuery {
    /// Returns everything that it reads.
    pub fn reads(&self) -> impl Iterator<Item = Dataset> {
        self.streams.iter().chain(self.tables).copied()
    }

    /// Returns the query as a stream.
    pub(super) fn for_velostream(&self) -> String {
        format!("{}{}", self.sql, if self.has_changes { " EMIT CHANGES" } else { "" })
    }

    /// Returns the query to DataFusion, which knows each dataset also with its windows, as `tumbling_…` and `hopping_…`.
    pub(super) fn for_datafusion(&self) -> &'static str {
        self.datafusion.unwrap_or(self.sql)
    }
}

/// What most questions have in common.
const OF_BIDS: BenchQuery = BenchQuery {
    name: "",
    asks: "",
    streams: &[Bid],
    tables: &[],
    has_window: false,
    has_changes: false,
    sql: "",
    datafusion: None,
};

/// How many bids there are of each order of price.
macro_rules! bids_by_rank {
    () => {
        "count(*) AS total_bids,
        count(*) FILTER (WHERE price < 10000) AS rank1_bids,
        count(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bids,
        count(*) FILTER (WHERE price >= 1000000) AS rank3_bids"
    };
}

/// The same, and how many bidders and auctions they are of.
macro_rules! distinct_by_rank {
    () => {
        concat!(
            bids_by_rank!(),
            ", count(DISTINCT bidder) AS total_bidders,
            count(DISTINCT bidder) FILTER (WHERE price < 10000) AS rank1_bidders,
            count(DISTINCT bidder) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_bidders,
            count(DISTINCT bidder) FILTER (WHERE price >= 1000000) AS rank3_bidders,
            count(DISTINCT auction) AS total_auctions,
            count(DISTINCT auction) FILTER (WHERE price < 10000) AS rank1_auctions,
            count(DISTINCT auction) FILTER (WHERE price >= 10000 AND price < 1000000) AS rank2_auctions,
            count(DISTINCT auction) FILTER (WHERE price >= 1000000) AS rank3_auctions"
        )
    };
}

/// All questions.
pub const QUERIES: &[BenchQuery] = &[
    BenchQuery {
        name: "q0",
        asks: "pass-through",
        sql: r#"SELECT auction, bidder, price, "dateTime", extra FROM bid"#,
        ..OF_BIDS
    },
    BenchQuery {
        name: "q1",
        asks: "currency conversion",
        sql: r#"SELECT auction, bidder, 0.908 * price AS price, "dateTime", extra FROM bid"#,
        ..OF_BIDS
    },
    BenchQuery {
        name: "q2",
        asks: "filter on few auctions",
        sql: "SELECT auction, price FROM bid WHERE auction % 123 = 0",
        ..OF_BIDS
    },
    BenchQuery {
        name: "q3",
        asks: "who sells in one category and lives in one of three states",
        streams: &[Auction, Person],
        sql: "SELECT p.name, p.city, p.state, a.id FROM auction AS a JOIN person AS p ON a.seller = p.id
            WHERE a.category = 10 AND (p.state = 'OR' OR p.state = 'ID' OR p.state = 'CA')",
        ..OF_BIDS
    },
    BenchQuery {
        name: "q4",
        asks: "average winning price of each category, as changes",
        streams: &[Auction, Bid],
        has_changes: true,
        sql: r#"SELECT q.category, AVG(q.final) AS mean
            FROM (SELECT MAX(b.price) AS final, a.category FROM auction AS a, bid AS b
                WHERE a.id = b.auction AND b."dateTime" BETWEEN a."dateTime" AND a.expires
                GROUP BY a.id, a.category) AS q
            GROUP BY q.category"#,
        ..OF_BIDS
    },
    BenchQuery {
        name: "q5",
        asks: "the auctions with the most bids of each 10 s, every 2 s",
        has_window: true,
        sql: r#"SELECT auction, num, window_start FROM (SELECT auction, COUNT(*) AS num, window_start
            FROM TABLE(HOP(TABLE bid, DESCRIPTOR("dateTime"), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
            GROUP BY auction, window_start, window_end)
            QUALIFY RANK() OVER (PARTITION BY window_start ORDER BY num DESC) = 1"#,
        datafusion: Some(
            "WITH counted AS
                (SELECT auction, count(*) AS num, window_start FROM hopping_bid GROUP BY auction, window_start)
            SELECT c.auction, c.num, c.window_start FROM counted c
            JOIN (SELECT max(num) AS num, window_start FROM counted GROUP BY window_start) m
            ON c.window_start = m.window_start AND c.num = m.num",
        ),
        ..OF_BIDS
    },
    // The window's end counts into it, as the benchmark has it.
    BenchQuery {
        name: "q7",
        asks: "the highest bids of each 10 s",
        has_window: true,
        sql: r#"SELECT b.auction, b.price, b.bidder, b."dateTime", b.extra FROM bid AS b
            JOIN (SELECT MAX(price) AS maxprice, window_end AS ended
                FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR("dateTime"), INTERVAL '10' SECOND))
                GROUP BY window_start, window_end) AS m
            ON b.price = m.maxprice WHERE b."dateTime" BETWEEN m.ended - INTERVAL '10' SECOND AND m.ended"#,
        datafusion: Some(
            r#"SELECT b.auction, b.price, b.bidder, b."dateTime", b.extra FROM bid AS b
            JOIN (SELECT max(price) AS maxprice, window_start + INTERVAL '10 seconds' AS ended
                FROM tumbling_bid GROUP BY window_start) AS m
            ON b.price = m.maxprice WHERE b."dateTime" BETWEEN m.ended - INTERVAL '10 seconds' AND m.ended"#,
        ),
        ..OF_BIDS
    },
    BenchQuery {
        name: "q7r",
        asks: "the highest bids of each 10 s, by rank",
        has_window: true,
        sql: r#"SELECT auction, price, bidder, "dateTime", extra FROM bid WINDOW TUMBLING("dateTime", 10s)
            QUALIFY RANK() OVER (ORDER BY price DESC) = 1"#,
        datafusion: Some(
            r#"SELECT b.auction, b.price, b.bidder, b."dateTime", b.extra FROM tumbling_bid b
            JOIN (SELECT max(price) AS price, window_start FROM tumbling_bid GROUP BY window_start) m
            ON b.window_start = m.window_start AND b.price = m.price"#,
        ),
        ..OF_BIDS
    },
    BenchQuery {
        name: "q8",
        asks: "who has registered and sells in the same 10 s",
        streams: &[Person, Auction],
        has_window: true,
        sql: r#"SELECT p.id, p.name, p.starttime
            FROM (SELECT id, name, window_start AS starttime, window_end AS endtime
                FROM TABLE(TUMBLE(TABLE person, DESCRIPTOR("dateTime"), INTERVAL '10' SECOND))
                GROUP BY id, name, window_start, window_end) AS p
            JOIN (SELECT seller, window_start AS starttime, window_end AS endtime
                FROM TABLE(TUMBLE(TABLE auction, DESCRIPTOR("dateTime"), INTERVAL '10' SECOND))
                GROUP BY seller, window_start, window_end) AS a
            ON p.id = a.seller AND p.starttime = a.starttime AND p.endtime = a.endtime"#,
        datafusion: Some(
            "SELECT p.id, p.name, p.window_start
            FROM (SELECT DISTINCT id, name, window_start FROM tumbling_person) AS p
            JOIN (SELECT DISTINCT seller, window_start FROM tumbling_auction) AS a
            ON p.id = a.seller AND p.window_start = a.window_start",
        ),
        ..OF_BIDS
    },
    // Bids of one price and instant are told apart by further columns, so that the answers compare.
    BenchQuery {
        name: "q9",
        asks: "the winning bid of each auction, as changes",
        streams: &[Auction, Bid],
        has_changes: true,
        sql: r#"SELECT id, "itemName", description, "initialBid", reserve, "dateTime", expires, seller, category, extra,
            auction, bidder, price, bid_time, bid_extra
            FROM (SELECT a.*, b.auction, b.bidder, b.price, b."dateTime" AS bid_time, b.extra AS bid_extra,
                ROW_NUMBER() OVER (PARTITION BY a.id ORDER BY b.price DESC, b."dateTime", b.bidder, b.extra) AS place
                FROM auction AS a, bid AS b
                WHERE a.id = b.auction AND b."dateTime" BETWEEN a."dateTime" AND a.expires)
            WHERE place <= 1"#,
        ..OF_BIDS
    },
    BenchQuery {
        name: "q11",
        asks: "sessions of each bidder with a gap of 10 s",
        has_window: true,
        sql: r#"SELECT bidder, COUNT(*) AS bids, window_start, window_end FROM bid GROUP BY bidder
            WINDOW SESSION("dateTime", INTERVAL '10' SECOND)"#,
        datafusion: Some(
            r#"WITH marked AS (SELECT bidder, "dateTime" AS t, CASE WHEN "dateTime" <
                lag("dateTime") OVER (PARTITION BY bidder ORDER BY "dateTime") + INTERVAL '10 seconds'
                THEN 0 ELSE 1 END AS begins FROM bid),
            numbered AS (SELECT bidder, t, sum(begins) OVER (PARTITION BY bidder ORDER BY t
                ROWS UNBOUNDED PRECEDING) AS session FROM marked)
            SELECT bidder, count(*) AS bids, min(t) AS window_start, max(t) + INTERVAL '10 seconds' AS window_end
            FROM numbered GROUP BY bidder, session"#,
        ),
        ..OF_BIDS
    },
    // The benchmark asks this by the clock, which gives no answer that two runs agree on: here it is the time of the bids.
    BenchQuery {
        name: "q12",
        asks: "bids of each bidder in each 10 s",
        has_window: true,
        sql: r#"SELECT bidder, COUNT(*) AS bids, window_start, window_end FROM bid GROUP BY bidder
            WINDOW TUMBLING("dateTime", INTERVAL '10' SECOND)"#,
        datafusion: Some(
            "SELECT bidder, count(*) AS bids, window_start, window_start + INTERVAL '10 seconds' AS window_end
            FROM tumbling_bid GROUP BY bidder, window_start",
        ),
        ..OF_BIDS
    },
    BenchQuery {
        name: "q13",
        asks: "each bid with a text from a table of 10,000 rows",
        tables: &[SideInput],
        sql: r#"SELECT b.auction, b.bidder, b.price, b."dateTime", s.value FROM bid AS b
            JOIN side_input AS s ON b.auction % 10000 = s.key"#,
        ..OF_BIDS
    },
    BenchQuery {
        name: "q14",
        asks: "prices in a range, by the time of day, and a count of letters",
        sql: r#"SELECT auction, bidder, 0.908 * price AS price,
            CASE WHEN extract(HOUR FROM "dateTime") >= 8 AND extract(HOUR FROM "dateTime") <= 18 THEN 'dayTime'
                WHEN extract(HOUR FROM "dateTime") <= 6 OR extract(HOUR FROM "dateTime") >= 20 THEN 'nightTime'
                ELSE 'otherTime' END AS time_of_day,
            "dateTime", extra, length(extra) - length(replace(extra, 'c', '')) AS c_counts
            FROM bid WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000"#,
        ..OF_BIDS
    },
    BenchQuery {
        name: "q15",
        asks: "statistics of each day with distinct bidders and auctions, as changes",
        has_changes: true,
        sql: concat!(
            r#"SELECT date_format("dateTime", '%Y-%m-%d') AS day, "#,
            distinct_by_rank!(),
            r#" FROM bid GROUP BY date_format("dateTime", '%Y-%m-%d')"#
        ),
        ..OF_BIDS
    },
    BenchQuery {
        name: "q16",
        asks: "statistics of each channel and day with distinct bidders and auctions, as changes",
        has_changes: true,
        sql: concat!(
            r#"SELECT channel, date_format("dateTime", '%Y-%m-%d') AS day,
            max(date_format("dateTime", '%H:%M')) AS minute, "#,
            distinct_by_rank!(),
            r#" FROM bid GROUP BY channel, date_format("dateTime", '%Y-%m-%d')"#
        ),
        ..OF_BIDS
    },
    BenchQuery {
        name: "q17",
        asks: "statistics of each auction by day, as changes",
        has_changes: true,
        sql: concat!(
            r#"SELECT auction, date_format("dateTime", '%Y-%m-%d') AS day, "#,
            bids_by_rank!(),
            r#", min(price) AS min_price, max(price) AS max_price, avg(price) AS avg_price, sum(price) AS sum_price
            FROM bid GROUP BY auction, date_format("dateTime", '%Y-%m-%d')"#
        ),
        ..OF_BIDS
    },
    // Bids of one instant or of one price are told apart by further columns, so that the answers compare.
    BenchQuery {
        name: "q18",
        asks: "the last bid of each bidder on each auction, as changes",
        has_changes: true,
        sql: r#"SELECT auction, bidder, price, channel, url, "dateTime", extra FROM bid
            QUALIFY row_number() OVER (PARTITION BY bidder, auction ORDER BY "dateTime" DESC, price DESC, extra) = 1"#,
        ..OF_BIDS
    },
    BenchQuery {
        name: "q19",
        asks: "the ten highest bids of each auction, as changes",
        has_changes: true,
        sql: r#"SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY auction
            ORDER BY price DESC, "dateTime", bidder, extra) AS place FROM bid) WHERE place <= 10"#,
        ..OF_BIDS
    },
    BenchQuery {
        name: "q20",
        asks: "each bid with its auction, of one category",
        streams: &[Bid, Auction],
        sql: r#"SELECT b.auction, b.bidder, b.price, b.channel, b.url, b."dateTime" AS bid_time, b.extra AS bid_extra,
            a."itemName", a.description, a."initialBid", a.reserve, a."dateTime" AS auction_time, a.expires, a.seller,
            a.category, a.extra AS auction_extra
            FROM bid AS b JOIN auction AS a ON b.auction = a.id WHERE a.category = 10"#,
        ..OF_BIDS
    },
    BenchQuery {
        name: "q21",
        asks: "the number of each bid's channel, by name or from its address",
        sql: "SELECT auction, bidder, price, channel, CASE lower(channel) WHEN 'apple' THEN '0' WHEN 'google' THEN '1'
                WHEN 'facebook' THEN '2' WHEN 'baidu' THEN '3'
                ELSE (regexp_match(url, '(&|^)channel_id=([^&]*)'))[2] END AS channel_id
            FROM bid WHERE (regexp_match(url, '(&|^)channel_id=([^&]*)'))[2] IS NOT NULL
                OR lower(channel) IN ('apple', 'google', 'facebook', 'baidu')",
        ..OF_BIDS
    },
    BenchQuery {
        name: "q22",
        asks: "the folders of each bid's address",
        sql: "SELECT auction, bidder, price, channel, split_part(url, '/', 4) AS dir1, split_part(url, '/', 5) AS dir2,
            split_part(url, '/', 6) AS dir3 FROM bid",
        ..OF_BIDS
    },
    BenchQuery {
        name: "f1",
        asks: "filter that keeps a fifth, and projection",
        // Prices are even by order of magnitude from 100 to 1e8 cents; 10^6.8 is where the upper fifth begins.
        sql: r#"SELECT auction, bidder, price * 2 AS doubled, "dateTime" FROM bid WHERE price > 6309573"#,
        ..OF_BIDS
    },
    BenchQuery {
        name: "t1",
        asks: "tumbling 10 s by auction, 4 aggregates",
        has_window: true,
        sql: r#"SELECT auction, window_start, COUNT(*) AS bids, SUM(price) AS total, MIN(price) AS low,
            MAX(price) AS high FROM bid GROUP BY auction WINDOW TUMBLING("dateTime", INTERVAL '10' SECOND)"#,
        datafusion: Some(
            "SELECT auction, window_start, count(*) AS bids, sum(price) AS total, min(price) AS low,
            max(price) AS high FROM tumbling_bid GROUP BY auction, window_start",
        ),
        ..OF_BIDS
    },
    BenchQuery {
        name: "t2",
        asks: "tumbling 10 s by channel (text), 3 aggregates",
        has_window: true,
        sql: r#"SELECT channel, window_start, COUNT(*) AS bids, AVG(price) AS mean, MAX(price) AS high
            FROM bid GROUP BY channel WINDOW TUMBLING("dateTime", INTERVAL '10' SECOND)"#,
        datafusion: Some(
            "SELECT channel, window_start, count(*) AS bids, avg(price) AS mean, max(price) AS high
            FROM tumbling_bid GROUP BY channel, window_start",
        ),
        ..OF_BIDS
    },
    BenchQuery {
        name: "h1",
        asks: "hopping 10 s every 2 s by auction, 4 aggregates",
        has_window: true,
        sql: r#"SELECT auction, window_start, COUNT(*) AS bids, SUM(price) AS total, MIN(price) AS low,
            MAX(price) AS high FROM bid GROUP BY auction WINDOW SLIDING("dateTime", 10s, 2s)"#,
        datafusion: Some(
            "SELECT auction, window_start, count(*) AS bids, sum(price) AS total, min(price) AS low,
            max(price) AS high FROM hopping_bid GROUP BY auction, window_start",
        ),
        ..OF_BIDS
    },
    BenchQuery {
        name: "e1",
        asks: "each bid with its bidder from a table",
        tables: &[Person],
        sql: r#"SELECT b.auction, b.bidder, b.price, b."dateTime", p.name, p.city, p.state FROM bid AS b
            JOIN person AS p ON b.bidder = p.id"#,
        ..OF_BIDS
    },
    BenchQuery {
        name: "e2",
        asks: "each bid with its bidder and its auction from two tables",
        tables: &[Person, Auction],
        sql: r#"SELECT b.auction, b.bidder, b.price, b."dateTime", p.name, p.city, p.state, a."itemName", a.seller,
            a.category FROM bid AS b JOIN person AS p ON b.bidder = p.id JOIN auction AS a ON b.auction = a.id"#,
        ..OF_BIDS
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
