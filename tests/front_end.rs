//! The front end under bent statements: any text is planned or refused with its place; it never panics and never blames itself.

#[cfg(test)]
mod front_end {
    use std::collections::BTreeMap;
    use std::num::NonZeroUsize;
    use std::path::PathBuf;
    use std::sync::Arc;

    use proptest::prelude::*;
    use proptest::sample::{Index, select};
    use velostream::ErrorKind;
    use velostream::config::Environment;
    use velostream::connect::console::OutputForm;
    use velostream::job::application::{PlannedApplication, Settings};

    const DECLARED: &str = "CREATE STREAM src (k VARCHAR, v BIGINT, p DECIMAL(10,2), f BOOLEAN, t TIMESTAMP(3), a ARRAY<BIGINT>, \
        WATERMARK FOR t AS t - INTERVAL '5' SECOND) WITH ('connector' = 'memory'); \
        CREATE STREAM other (k VARCHAR, w BIGINT) WITH ('connector' = 'memory');\n";

    const VALID: &[&str] = &[
        "SELECT k, v FROM src",
        "SELECT * FROM src WHERE v > 1 AND f",
        "SELECT upper(k) AS name, v * 2 + 1 AS twice FROM src s WHERE s.k LIKE 'a%' OR s.v IN (1, 2, 3)",
        "SELECT k, count(*) AS n, sum(v) FILTER (WHERE v > 0) AS s FROM src GROUP BY k HAVING n > 1 EMIT CHANGES",
        "SELECT k, window_start, sum(p) AS total FROM src WINDOW TUMBLING(1m) GROUP BY k EMIT FINAL",
        "SELECT k, count(*) FROM src GROUP BY k, TUMBLE(t, INTERVAL '1' MINUTE)",
        "SELECT k, count(*) FROM TABLE(TUMBLE(TABLE src, DESCRIPTOR(t), INTERVAL '10' SECOND)) GROUP BY k, window_start, window_end",
        "SELECT k, count(*) FROM src WINDOW TUMBLING(10s) GROUP BY k GRACE PERIOD 30s EMIT ON WINDOW CLOSE",
        "SELECT k, count(*) AS n FROM src WINDOW TUMBLING(SIZE 5 MINUTES) GROUP BY k HAVING COUNT(*) * 2 > 10",
        "CREATE STREAM big AS SELECT k, v FROM src WHERE v BETWEEN 1 AND 10",
        "CREATE STREAM big AS SELECT k PRIMARY KEY, sum(v) AS s FROM src GROUP BY k",
        "CREATE STREAM big WITH ('connector' = 'blackhole') AS SELECT * FROM src",
        "CREATE VIEW large AS SELECT k, v FROM src WHERE v > 10; SELECT k FROM large",
        "INSERT INTO other SELECT k, v FROM src",
        "INSERT INTO other (w, k) SELECT v, k FROM src",
        "INSERT INTO other VALUES ('a', 1), ('b', -2)",
        "WITH c AS (SELECT k, v FROM src), d AS (SELECT k FROM c WHERE v > 1) SELECT k FROM d UNION ALL SELECT k FROM c",
        "SELECT CASE WHEN v > 1 THEN 'x' WHEN f THEN 'y' ELSE k END AS c FROM src",
        "SELECT CASE v WHEN 1 THEN 'a' ELSE 'b' END, CAST(k AS BIGINT), v::varchar || k FROM src",
        "SELECT DISTINCT k FROM src",
        "SELECT k FROM src ORDER BY k DESC NULLS LAST LIMIT 5 OFFSET 1",
        "SELECT EXTRACT(EPOCH FROM t - t) AS e, date_trunc('day', t), t + INTERVAL '1' DAY FROM src",
        "SELECT a[1], array_length(a), unnest(a) FROM src",
        "SELECT k, row_number() OVER (PARTITION BY k ORDER BY t) AS r FROM src QUALIFY r = 1",
        "SELECT s.k, o.w FROM src s JOIN other o ON s.k = o.k AND s.v > o.w",
        "SELECT k FROM src WHERE v IN (SELECT w FROM other) AND EXISTS (SELECT 1 FROM other o WHERE o.k = src.k)",
        "SELECT k, v - (SELECT max(w) FROM other) AS d FROM src WHERE v IS NOT DISTINCT FROM 3",
        "SELECT _event_time, _key, HEADER('h') AS h, k AS _topic FROM src",
        "SELECT first_value(v) AS f, string_agg(k, ',') AS s, approx_distinct(k) FROM src GROUP BY f",
        "EXPLAIN SELECT k, count(*) FROM src GROUP BY ROLLUP(k)",
        "SET 'on.error' = 'skip'; SELECT k FROM src EMIT CHANGES WITH ('parallelism' = '2')",
        "SHOW STREAMS LIKE 's%'; DESCRIBE src; SHOW CREATE STREAM other",
        "CREATE STREAM z (id BIGINT PRIMARY KEY NOT ENFORCED, m ARRAY<BIGINT>, WATERMARK FOR ts AS ts, ts TIMESTAMP(3) NOT NULL) WITH ('connector' = 'memory')",
    ];

    /// Pieces that statements are made of.
    const PIECES: &[&str] = &[
        "SELECT",
        "FROM",
        "WHERE",
        "GROUP",
        "BY",
        "HAVING",
        "WINDOW",
        "TUMBLING",
        "HOPPING",
        "SESSION",
        "EMIT",
        "CHANGES",
        "FINAL",
        "INTO",
        "WITH",
        "AS",
        "ON",
        "JOIN",
        "UNION",
        "ALL",
        "CASE",
        "WHEN",
        "END",
        "INTERVAL",
        "'1'",
        "MINUTE",
        "5m",
        "(",
        ")",
        ",",
        ".",
        "*",
        "+",
        "-",
        "=",
        "<",
        "||",
        "->",
        "[",
        "]",
        ":",
        "?",
        "$1",
        "NOT",
        "NULL",
        "IS",
        "DISTINCT",
        "OVER",
        "PARTITION",
        "ORDER",
        "LIMIT",
        "k",
        "v",
        "src",
        "other",
        "\"K\"",
        "'text'",
        "1",
        "2.5",
        "1e3",
        "count",
        "sum",
        "PRIMARY",
        "KEY",
        "GRACE",
        "PERIOD",
        "window_start",
        "_event_time",
        "EXISTS",
        "IN",
        "BETWEEN",
        "LIKE",
        "AND",
        "OR",
        ";",
        "VALUES",
        "TABLE",
        "LATERAL",
        "é",
        "--x\n",
        "/*",
        "ROWS",
        "BUFFER",
    ];

    #[derive(Debug, Clone)]
    enum Edit {
        Insert(Index, &'static str),
        Delete(Index),
        Swap(Index, Index),
        Replace(Index, &'static str),
    }

    fn edit() -> impl Strategy<Value = Edit> {
        prop_oneof![
            (any::<Index>(), select(PIECES)).prop_map(|(at, piece)| Edit::Insert(at, piece)),
            any::<Index>().prop_map(Edit::Delete),
            (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Edit::Swap(a, b)),
            (any::<Index>(), select(PIECES)).prop_map(|(at, piece)| Edit::Replace(at, piece)),
        ]
    }

    struct NoEnvironment;

    impl Environment for NoEnvironment {
        fn var(&self, _: &str) -> Option<String> {
            None
        }
    }

    fn settings() -> Settings {
        Settings {
            options: vec![],
            parameters: BTreeMap::new(),
            mode: None,
            output: OutputForm::Table,
            directory: PathBuf::new(),
            environment: Arc::new(NoEnvironment),
            clock: Arc::new(velostream::time::SystemClock::default()),
            parallelism: NonZeroUsize::MIN,
            contact: false,
        }
    }

    /// Splits a text at spaces and around signs; texts in quotes stay whole.
    fn pieces(text: &str) -> Vec<String> {
        let mut pieces: Vec<String> = vec![];
        let (mut quoted, mut word) = (false, false);
        for character in text.chars() {
            let in_word = character.is_alphanumeric() || character == '_';
            let doubled = ":|".contains(character)
                && pieces.last().is_some_and(|piece| *piece == character.to_string());
            if quoted || doubled || (character != '\'' && in_word && word) {
                pieces.last_mut().unwrap().push(character);
            } else if !character.is_whitespace() {
                pieces.push(character.to_string());
            }
            quoted ^= character == '\'';
            word = in_word;
        }
        pieces
    }

    fn bend(text: &str, edits: Vec<Edit>) -> String {
        let mut pieces = pieces(text);
        for edit in edits {
            match edit {
                Edit::Insert(at, piece) => pieces.insert(at.index(pieces.len() + 1), piece.to_owned()),
                _ if pieces.is_empty() => {}
                Edit::Delete(at) => drop(pieces.remove(at.index(pieces.len()))),
                Edit::Swap(a, b) => {
                    let length = pieces.len();
                    pieces.swap(a.index(length), b.index(length));
                }
                Edit::Replace(at, piece) => {
                    let at = at.index(pieces.len());
                    piece.clone_into(&mut pieces[at]);
                }
            }
        }
        format!("{DECLARED}{}", pieces.join(" "))
    }

    /// Plans a text; every error has a place in it and is the user's.
    fn plan(text: &str) -> bool {
        match PlannedApplication::plan(text, &settings()) {
            Ok(_) => true,
            Err(errors) => {
                for error in &errors {
                    assert_ne!(error.kind(), ErrorKind::Internal, "{text}\n{}", error.report());
                    let place = error.span();
                    let inside = place.as_ref().is_some_and(|place| text.get(place.clone()).is_some());
                    assert!(inside, "{text}\n{}: no place, or one outside: {place:?}", error.report());
                }
                assert!(!errors.is_empty(), "{text}");
                false
            }
        }
    }

    proptest! {
        #![proptest_config({
            let config = ProptestConfig::default();
            let said = config.cases != 256;
            ProptestConfig { cases: if said { config.cases } else { 150 }, max_shrink_iters: 200, ..config }
        })]

        #[test]
        fn bent_statements_are_planned_or_refused(
            text in select(VALID), edits in prop::collection::vec(edit(), 1..5),
        ) {
            let bent = bend(text, edits);
            if plan(&bent) {
                prop_assert!(plan(&bent), "accepted once only: {}", bent);
            }
        }
    }

    #[test]
    fn the_statements_are_right_before_they_are_bent() {
        let not_yet = [
            "OVER",
            "JOIN",
            "IN (SELECT",
            "(SELECT max",
            "ROLLUP",
            "ORDER BY",
            "first_value(v) AS f",
            "DISTINCT",
        ];
        for text in VALID {
            let whole = bend(text, vec![]);
            assert!(plan(&whole) || not_yet.iter().any(|part| text.contains(part)), "{text}");
        }
    }

    #[test]
    fn deep_and_long_statements_never_end_the_process() {
        let chain = |part: &str, times: usize| vec![part; times].join(" ");
        let deep =
            |open: &str, close: &str, times: usize| format!("{}1{}", open.repeat(times), close.repeat(times));
        for times in [8, 90, 2_000] {
            let plus = format!("1{}", chain(" + 1", times));
            for expression in [
                plus,
                format!("f{}", chain(" AND f", times)),
                format!("f{}", chain(" OR f", times)),
                format!("k{}", chain(" || k", times)),
                format!("NOT {} f", chain("NOT", times)),
                format!("- {} v", chain("-", times)),
                format!("v{}", "::bigint".repeat(times)),
                deep("(", ")", times),
                deep("CASE WHEN f THEN ", " ELSE 0 END", times),
                deep("coalesce(", ", 1)", times),
                deep("(SELECT ", ")", times),
                format!("a{}", "[1]".repeat(times)),
                format!("CASE {} END", chain("WHEN f THEN 1", times)),
            ] {
                plan(&format!("{DECLARED}SELECT {expression} AS x FROM src"));
            }
            let nested = deep("SELECT * FROM (", ") x", times).replace('1', "SELECT k FROM src");
            plan(&format!("{DECLARED}{nested}"));
            plan(&format!("{DECLARED}SELECT k FROM src{}", chain(" UNION ALL SELECT k FROM src", times)));
        }
        let list = (0..10_000).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
        assert!(plan(&format!("{DECLARED}SELECT k FROM src WHERE v IN ({list})")));
        plan(&format!("{DECLARED}SELECT {list} FROM src"));
        plan(&format!("{DECLARED}INSERT INTO other (w) VALUES ({})", list.replace(", ", "), (")));
    }

    #[test]
    fn columns_that_nobody_knows_have_the_types_of_their_use() {
        for text in [
            "SELECT a.id, b.w, CASE WHEN a.flag THEN a.x ELSE 0 END AS c, a.ts::timestamp, upper(a.name) || '!' AS n \
             FROM a JOIN b ON a.key = b.key AND b.w BETWEEN 1 AND 5 \
             WHERE a.state IN ('x', 'y') AND a.ok AND NOT a.bad AND a.n IN (1, 2) AND abs(a.m) > 2 \
               AND date_trunc('day', a.at) > a.since + INTERVAL '1' DAY \
             WITH ('a.type' = 'kafka_source', 'a.topic' = 'a', 'b.type' = 'kafka_source', 'b.topic' = 'b', \
               'a.scan.end' = 'latest', 'b.scan.end' = 'latest', 'mode' = 'batch')",
            "SELECT k, sum(coalesce(v, 0)) AS s FROM src WINDOW TUMBLING(at, 1m) WHERE a = b AND b = c AND c = 1 \
               AND least(y, x) > 1 AND CASE y WHEN 1 THEN 'a' ELSE k END <> q \
             GROUP BY k HAVING s > 10 AND max(z) > 2.5 \
             WITH ('src.type' = 'kafka_source', 'src.topic' = 'a')",
        ] {
            let planned = PlannedApplication::plan(text, &settings());
            let planned = planned.unwrap_or_else(|errors| panic!("{text}\n{errors:?}"));
            assert!(planned.notices.iter().any(|notice| notice.contains("its use suggests")), "{text}");
        }
    }

    #[test]
    fn a_result_has_each_name_once() {
        let batch = "SET 'mode' = 'batch'; ";
        for (query, names) in [
            ("SELECT * FROM src s JOIN other o ON s.k = o.k", "k, v, p, f, t, a, k0, w"),
            ("SELECT s.k, o.k, v AS k0 FROM src s JOIN other o ON s.k = o.k", "k, k1, k0"),
            ("SELECT s.k, o.k AS key FROM src s JOIN other o ON s.k = o.k", "k, key"),
        ] {
            let text = format!("{DECLARED}{batch}{query}");
            let planned =
                PlannedApplication::plan(&text, &settings()).unwrap_or_else(|errors| panic!("{errors:?}"));
            let found: Vec<&str> =
                planned.jobs[0].output.fields().iter().map(|field| field.name().as_str()).collect();
            assert_eq!(found.join(", "), names, "{query}");
        }
    }
}
