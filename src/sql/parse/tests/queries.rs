//! Expressions: precedence, other names of functions, alias reuse.

use super::{error, sql};

#[test]
fn is_distinct_from_binds_tighter_than_and() {
    use sqlparser::ast::{BinaryOperator, Expr, SetExpr};
    for text in [
        "SELECT 1 FROM t WHERE a IS DISTINCT FROM b AND c",
        "SELECT 1 FROM t WHERE a IS NOT DISTINCT FROM b AND c",
    ] {
        let found = super::query(text).query;
        let SetExpr::Select(select) = *found.body else { panic!() };
        let Some(Expr::BinaryOp { left, op: BinaryOperator::And, .. }) = select.selection else {
            panic!("{text}")
        };
        assert!(matches!(*left, Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..)), "{left:?}");
    }
    assert_eq!(
        sql("SELECT a + 1 IS DISTINCT FROM b * 2 OR d FROM t"),
        "SELECT a + 1 IS DISTINCT FROM b * 2 OR d FROM t"
    );
}

#[test]
fn json_paths_bind_tighter_than_comparisons_and_arithmetic() {
    use sqlparser::ast::{BinaryOperator, Expr};
    for (text, operator) in [
        ("a -> 'b' ->> 'c' = 'd'", BinaryOperator::Eq),
        ("a ->> 'b' || 'c'", BinaryOperator::StringConcat),
        ("a -> 'b' + 1", BinaryOperator::Plus),
    ] {
        let found = crate::sql::parse_expression(text).unwrap();
        assert!(matches!(&found, Expr::BinaryOp { op, .. } if *op == operator), "{text}: {found:?}");
    }
    assert_eq!(crate::sql::parse_expression("a > 1 b").unwrap_err().message(), "unexpected `b`");
}

#[test]
fn operators_and_parameters_are_read() {
    for text in [
        "SELECT a -> 'b' ->> 'c', x::BIGINT, $1, :name FROM t",
        "SELECT COUNT(*) FILTER (WHERE a > 1), COUNT(DISTINCT b) FROM t",
        "SELECT a FROM t QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) = 1",
        "SELECT EXTRACT(EPOCH FROM a - b), INTERVAL '5' MINUTE, CAST(a AS DECIMAL(18,4)) FROM t",
        "SELECT CASE a WHEN 1 THEN 'x' END, ARRAY[1, 2], \"Quoted\" FROM t",
        "WITH a AS (SELECT 1 AS x), b AS (SELECT x FROM a) SELECT * FROM b",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r",
        "SELECT * FROM a LEFT JOIN b USING (k) CROSS JOIN c, d",
        "(SELECT 1) UNION (SELECT 2) ORDER BY 1",
        "SELECT a FROM t GROUP BY ROLLUP (a)",
        "VALUES (1, 'a'), (2, 'b')",
        "SELECT * FROM (VALUES (1), (2)) AS v (x)",
        "SELECT SUBSTRING(a FROM 2 FOR 3), TRIM(BOTH 'x' FROM a), POSITION('a' IN b) FROM t",
        "SELECT a FROM t ORDER BY a LIMIT 5 OFFSET 3",
        "SELECT x FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.a = t.a) AND c IN (SELECT c FROM v)",
        "SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY a) FROM t",
        "SELECT AVG(p) OVER (ORDER BY ts RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW) FROM t",
    ] {
        super::query(text);
    }
}

#[test]
fn functions_under_other_names_become_datafusions() {
    for (text, expected) in [
        ("IF(a > 1, 'x', 'y')", "CASE WHEN a > 1 THEN 'x' ELSE 'y' END"),
        ("IFNULL(a, NVL(b, c))", "coalesce(a, coalesce(b, c))"),
        ("LEN(a)", "length(a)"),
        ("COUNT_DISTINCT(a)", "count(DISTINCT a)"),
        ("APPROX_COUNT_DISTINCT(a)", "approx_distinct(a)"),
        ("GROUP_CONCAT(a)", "string_agg(a, ',')"),
        ("LISTAGG(a, ';')", "string_agg(a, ';')"),
        ("COLLECT(a)", "array_agg(a)"),
        ("VARIANCE(a)", "var_samp(a)"),
        ("YEAR(ts)", "date_part('year', ts)"),
        ("FIRST(a)", "first_value(a)"),
        ("LAST(a) OVER (ORDER BY b)", "last_value(a) OVER (ORDER BY b)"),
    ] {
        assert_eq!(sql(&format!("SELECT {text} FROM t")), format!("SELECT {expected} FROM t"));
    }
    assert_eq!(
        error("SELECT a, LISTAGG() FROM t"),
        ("`LISTAGG` takes 1 to 2 arguments, not 0".to_owned(), "LISTAGG".to_owned())
    );
}

#[test]
fn later_items_see_earlier_aliases() {
    for (text, expected) in [
        (
            "SELECT a + 1 AS x, x * 2 AS y, y - x FROM t",
            "SELECT a + 1 AS x, (a + 1) * 2 AS y, ((a + 1) * 2) - (a + 1) AS \"y - x\" FROM t",
        ),
        ("SELECT b AS a, a + 1 AS c FROM t", "SELECT b AS a, b + 1 AS c FROM t"),
        ("SELECT a + 1 AS a FROM t WHERE a > 1", "SELECT a + 1 AS a FROM t WHERE a > 1"),
        (
            "SELECT SUM(q) AS v FROM t GROUP BY k HAVING v > 10",
            "SELECT SUM(q) AS v FROM t GROUP BY k HAVING (SUM(q)) > 10",
        ),
        (
            "SELECT SUM(q) AS q FROM t GROUP BY k HAVING SUM(q) > 10",
            "SELECT SUM(q) AS q FROM t GROUP BY k HAVING SUM(q) > 10",
        ),
        (
            "SELECT a + 1 AS x, t.x, (SELECT MAX(x) FROM u) AS m FROM t",
            "SELECT a + 1 AS x, t.x, (SELECT MAX(x) FROM u) AS m FROM t",
        ),
        ("SELECT a + 1 AS x FROM t ORDER BY x, x + 1", "SELECT a + 1 AS x FROM t ORDER BY x, (a + 1) + 1"),
        (
            "SELECT RANK() OVER (ORDER BY a) AS r FROM t QUALIFY r = 1",
            "SELECT RANK() OVER (ORDER BY a) AS r FROM t QUALIFY (RANK() OVER (ORDER BY a)) = 1",
        ),
        ("SELECT a AS \"X\", x + \"X\" AS y FROM t", "SELECT a AS \"X\", x + a AS y FROM t"),
        (
            "SELECT a + 1 AS x, CASE WHEN x IN (1, 2) THEN 'low' END AS c FROM t",
            "SELECT a + 1 AS x, CASE WHEN (a + 1) IN (1, 2) THEN 'low' END AS c FROM t",
        ),
    ] {
        assert_eq!(sql(text), expected, "{text}");
    }
}
