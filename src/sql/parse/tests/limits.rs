//! Deep and long expressions are errors, never a stack overflow; random tokens never panic.

use proptest::prelude::*;
use sqlparser::ast::{Expr, Query, Visit, Visitor};

use super::{error, parse_application, query};

struct Count(usize);

impl Visitor for Count {
    type Break = ();
    fn pre_visit_expr(&mut self, _: &Expr) -> std::ops::ControlFlow<()> {
        self.0 += 1;
        std::ops::ControlFlow::Continue(())
    }
    fn pre_visit_query(&mut self, _: &Query) -> std::ops::ControlFlow<()> {
        std::ops::ControlFlow::Continue(())
    }
}

/// Runs `test` on a thread with the default stack of 2 MiB.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 << 20).spawn(test).unwrap().join().unwrap();
}

#[test]
fn long_and_deep_expressions_are_refused_before_they_are_parsed() {
    on_a_small_stack(|| {
        let message = "expression with more than 1000 operators";
        assert_eq!(error(&format!("SELECT {}", vec!["1"; 2_000].join("+"))).0, message);
        assert_eq!(error(&format!("SELECT {}1", "-".repeat(0) + &"NOT ".repeat(2_000))).0, message);
        assert_eq!(error(&format!("SELECT a{}", " IS NULL".repeat(2_000))).0, message);
        let level = "1+1+1+1+1+1+1+1+1+1+1+1+(";
        assert_eq!(error(&format!("SELECT {}1{}", level.repeat(99), ")".repeat(99))).0, message);
        let nested = "more than 100 levels of nesting";
        assert_eq!(error(&format!("SELECT {}1{}", "(".repeat(2_000), ")".repeat(2_000))).0, nested);
        assert_eq!(error(&format!("SELECT {}", "CASE WHEN ".repeat(2_000))).0, nested);
        assert_eq!(error(&format!("SELECT {}1{}", "f(".repeat(2_000), ")".repeat(2_000))).0, nested);
        assert!(error(&vec!["SELECT 1"; 2_000].join(" UNION ALL ")).0.starts_with("more than 250 queries"));
    });
}

#[test]
fn what_the_limits_let_through_fits_on_a_small_stack() {
    on_a_small_stack(|| {
        for text in [
            format!("SELECT {} AS a FROM t", vec!["1"; 1_000].join("+")),
            format!("SELECT {} AS a, a + 1 AS b FROM t", vec!["1"; 450].join("+")),
            format!("SELECT {}1 FROM t", "NOT ".repeat(900)),
            format!("SELECT a{} FROM t", " IS NULL".repeat(900)),
            format!("SELECT {} FROM t", vec!["a"; 900].join(" IS DISTINCT FROM ")),
            format!("SELECT {}1{}", "(".repeat(98), ")".repeat(98)),
            format!("SELECT {}1{}", "f(".repeat(98), ")".repeat(98)),
            format!("SELECT {}1{}", "CASE WHEN a THEN ".repeat(98), " END".repeat(98)),
            format!("{}SELECT 1{}", "SELECT * FROM (".repeat(98), ")".repeat(98)),
            format!("SELECT {}1{}", "1+1+1+1+1+1+1+(".repeat(98), ")".repeat(98)),
            vec!["SELECT 1"; 200].join(" UNION ALL "),
        ] {
            let parsed = query(&text);
            let mut count = Count(0);
            assert!(parsed.query.visit(&mut count).is_continue());
            assert!(count.0 >= 1);
        }
    });
}

#[test]
fn aliases_cannot_blow_a_query_up() {
    let items: Vec<String> = (1..40).map(|n| format!("a{} + a{} AS a{n}", n - 1, n - 1)).collect();
    let text = format!("SELECT x AS a0, {} FROM t", items.join(", "));
    let message = "the query grows too large when its aliases are put in";
    assert_eq!(error(&text).0, message);
    on_a_small_stack(move || {
        // Each item is small, the chain of them is not.
        let chain = |length: usize| {
            let items: Vec<String> =
                (1..length).map(|n| format!("a{}{} AS a{n}", n - 1, " + 1".repeat(20))).collect();
            format!("SELECT x AS a0, {} FROM t", items.join(", "))
        };
        assert_eq!(error(&chain(60)).0, message);
        assert!(parse_application(&chain(15)).errors.is_empty());
        let deep = format!("SELECT {} AS a, NOT a AS b FROM t", vec!["x"; 400].join(" OR "));
        assert!(parse_application(&deep).errors.is_empty());
    });
}

const PIECES: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "HAVING",
    "WINDOW",
    "TUMBLING",
    "SESSION",
    "HOP",
    "TABLE",
    "DESCRIPTOR",
    "(",
    ")",
    ",",
    ".",
    "*",
    "+",
    "-",
    "=",
    "'x'",
    "\"q\"",
    "1",
    "5",
    "m",
    "a",
    "t",
    "EMIT",
    "CHANGES",
    "FINAL",
    "INTO",
    "WITH",
    "AS",
    "CREATE",
    "STREAM",
    "VIEW",
    "INSERT",
    "VALUES",
    "UNION",
    "ALL",
    "EXCEPT",
    "CASE",
    "WHEN",
    "THEN",
    "END",
    "IS",
    "NOT",
    "DISTINCT",
    "NULL",
    "INTERVAL",
    "MINUTE",
    "GRACE",
    "PERIOD",
    "LIMIT",
    "OFFSET",
    "QUALIFY",
    "OVER",
    "PARTITION BY",
    "ROWS",
    "BUFFER",
    "PRIMARY",
    "KEY",
    "WATERMARK",
    "FOR",
    "SHOW",
    "SET",
    "DROP",
    "EXPLAIN",
    "ANALYZE",
    "JOIN",
    "ON",
    "ASOF",
    "WITHIN",
    "[",
    "]",
    "{",
    "}",
    "::",
    "->",
    ":p",
    "$1",
    ";",
    "-- @name: x\n",
    "-- @nmae x\n",
    "/* @app: y */",
    "ü",
    "\t",
    "\n\n",
    "TUMBLE_START(",
    "_window_start",
    "IF(",
    "FIRST(",
    "COUNT(*)",
    "LISTAGG(",
    "TUMBLE(",
    "TO",
    "LIST",
    "ARRAY",
    "MAP",
    "<",
    ">",
    "BIGINT",
    "'",
    "\\",
    "日",
    "EXISTS",
    "IN",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_tokens_never_panic(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..30), prefix in 0_usize..6) {
        let start = ["", "SELECT a FROM t ", "CREATE STREAM s ", "SELECT COUNT(*) FROM s WINDOW ", "SELECT * FROM ", "INSERT INTO t "][prefix];
        let text = format!("{start}{}", pieces.join(" "));
        let app = parse_application(&text);
        for error in &app.errors {
            let span = error.span().expect("every error has a place");
            prop_assert!(text.get(span).is_some(), "{text}");
            prop_assert!(!crate::sql::show(&text, None, error).is_empty());
        }
    }
}
