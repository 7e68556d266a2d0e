//! Errors: each with its message, its place and its hint, and all of a file at once.

use super::{error, hint, parse_application};

#[test]
fn leftover_and_broken_tokens_have_their_place() {
    for (text, message, place) in [
        ("SELECT a FROM t complete garbage (((", "`(` is never closed", "("),
        ("SELECT a FROM t complete garbage", "unexpected `garbage`", "garbage"),
        ("SELECT a FROM t WHERE a = 1 b", "unexpected `b`", "b"),
        ("SELECT a FROM t)", "`)` closes nothing", ")"),
        ("SELECT f(a] FROM t", "`]` does not close `(`", "]"),
        ("SELECT 'abc", "unterminated string literal", "'"),
        ("SELECT a, FROM t", "nothing after `,`", ","),
        ("SELECT a FROM t, WHERE a > 1", "nothing after `,`", ","),
        ("SELECT a + FROM t", "nothing after `+`", "+"),
        ("SELECT a FROM t JOIN WHERE a > 1", "nothing after `JOIN`", "JOIN"),
        ("SELECT a FROM t WHERE a AND", "nothing after `AND`", "AND"),
        ("SELECT a WINDOW TUMBLING(1m)", "a window needs rows: the query has no `FROM`", "TUMBLING"),
        ("SELECT a FROM t,", "nothing after `,`", ","),
        ("SELECT a FROM t FOR UPDATE", "`FOR …` after a query is not part of this SQL", "FOR"),
        ("SELECT a FROM t TABLESAMPLE (10 PERCENT)", "`TABLESAMPLE` is not part of this SQL", "TABLESAMPLE"),
        ("SELECT CASE WHEN a THEN 1 FROM t", "`CASE` without `END`", "CASE"),
        ("CREATE INDEX i ON t (a)", "there is no `CREATE INDEX` here", "INDEX"),
        ("GRANT ALL ON t TO u", "no statement starts with `GRANT`", "GRANT"),
        ("CREATE STREAM s (a BIGNIT)", "unknown type `BIGNIT`", "BIGNIT"),
        (
            "CREATE STREAM s (a BIGINT DEFAULT 1)",
            "`DEFAULT` is not available in a column's declaration",
            "DEFAULT",
        ),
        (
            "CREATE STREAM s (a BIGINT METADATA FROM 'x')",
            "`METADATA` is not available in a column's declaration",
            "METADATA",
        ),
        (
            "CREATE STREAM s (a BIGINT REFERENCES t(a))",
            "`REFERENCES` is not available in a column's declaration",
            "REFERENCES",
        ),
        ("CREATE STREAM s (a BIGINT, CHECK (a > 1))", "`CHECK` is not available in a declaration", "CHECK"),
        ("CREATE STREAM s (a BIGINT, a TEXT)", "column `a` stands twice", "a TEXT"),
        ("CREATE STREAM s (a BIGINT, PRIMARY KEY (b))", "no column `b` is declared", "b"),
        ("CREATE STREAM s (a BIGINT,)", "expected a column's name, found the end of the statement", ""),
        ("CREATE STREAM s", "expected `(`, `WITH` or `AS`, found the end of the statement", ""),
        ("CREATE STREAM s AS", "expected `SELECT`, `WITH` or `VALUES`, found the end of the statement", ""),
        ("INSERT INTO t VALUES (1, 2), (3)", "row 2 has 1 values, the first has 2", "VALUES (1, 2), (3)"),
        ("INSERT INTO t (a, b) SELECT 1", "the column list has 2 names, the select list 1 item", "SELECT 1"),
        ("DROP STREAM s RESTRICT", "unexpected `RESTRICT` after the end of the statement", "RESTRICT"),
        (
            "EXPLAIN EXPLAIN SELECT 1",
            "expected `ANALYZE`, `SELECT`, `WITH`, `CREATE` or `INSERT`, found `EXPLAIN`",
            "EXPLAIN",
        ),
    ] {
        assert_eq!(error(text), (message.to_owned(), place.to_owned()), "{text}");
    }
}

#[test]
fn hints_name_the_nearest_word() {
    for (text, expected) in [
        ("SELEC 1", "did you mean `SELECT`?"),
        ("CRAETE STREAM s", "did you mean `CREATE`?"),
        ("CREATE STREEM s AS SELECT 1", "did you mean `STREAM`?"),
        ("SELECT a FROM t WHER a = 1", "did you mean `WHERE` instead of `WHER`?"),
        ("SELECT a FROM t GRUOP BY a", "did you mean `GROUP` instead of `GRUOP`?"),
        ("SHOW STREMS", "did you mean `STREAMS`?"),
        ("SELECT a FROM t WINDOW TUMBLIN(1m)", "did you mean `TUMBLING` instead of `TUMBLIN`?"),
        ("SELECT a FROM t EMIT CHANGE", "`EMIT` is followed by `CHANGES`, `FINAL` or `ON WINDOW CLOSE`"),
        ("CREATE STREAM s (a BIGNIT)", "did you mean `BIGINT`?"),
    ] {
        assert_eq!(hint(text), expected, "{text}");
    }
}

#[test]
fn all_errors_of_a_file_come_at_once_and_good_statements_stay() {
    let text = "SELECT 1;\nSELEC 2;\n-- größe\nSELECT ü FROM t wrong place;\nSHOW JOBS;\nSELECT 'x";
    let app = parse_application(text);
    assert_eq!(app.statements.len(), 2);
    assert_eq!(app.statements[1].text, "SHOW JOBS");
    let shown: String =
        app.errors.iter().map(|error| crate::sql::show(text, Some("app.sql"), error)).collect();
    assert_eq!(
        shown,
        "error: no statement starts with `SELEC`\n --> app.sql:2:1\n  |\n2 | SELEC 2;\n  | ^^^^^\nHint: did you mean `SELECT`?\n\
         error: unexpected `place`\n --> app.sql:4:23\n  |\n4 | SELECT ü FROM t wrong place;\n  |                       ^^^^^\nHint: the statement was complete before it; statements are separated by `;`\n\
         error: unterminated string literal\n --> app.sql:6:8\n  |\n6 | SELECT 'x\n  |        ^\nHint: close it with `'`; a quote inside is written twice: `''`\n"
    );
}

#[test]
fn a_caret_stands_right_after_tabs_and_wide_characters() {
    let text = "SELECT\t'日本', a b c FROM t";
    let app = parse_application(text);
    let shown = crate::sql::show(text, None, &app.errors[0]);
    assert_eq!(
        shown.lines().skip(3).take(2).collect::<Vec<_>>(),
        ["1 | SELECT    '日本', a b c FROM t", "  |                       ^"]
    );
}
