//! Statements that change the rows of a table.

use sqlparser::ast::Expr;

use super::{error, one};
use crate::sql::{
    Assignment, ConflictAction, InsertSource, Matched, MergeAction, MergeSource, Name, Statement,
};

fn set(assignments: &[Assignment]) -> String {
    let each = assignments.iter().map(|one| format!("{} = {}", one.column.value, one.value));
    each.collect::<Vec<_>>().join(", ")
}

fn text(expression: &Option<Expr>) -> String {
    expression.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn name(name: &Option<Name>) -> &str {
    name.as_ref().map_or("", |name| &name.value)
}

#[test]
fn update_and_delete_carry_columns_values_and_condition() {
    let sql = "UPDATE Users SET tier = CASE WHEN (a, b) IN (SELECT x, y FROM t WHERE z) THEN 'x' ELSE tier END, \
               n = IF(n > 1, 0, n) WHERE id = $1 AND tier IS DISTINCT FROM 'gold'";
    let Statement::Update { target, assignments, condition } = one(sql) else { panic!() };
    assert_eq!((target.value.as_str(), sql.get(target.span).unwrap()), ("users", "Users"));
    assert_eq!(sql.get(assignments[1].column.span.clone()), Some("n"));
    assert_eq!(
        set(&assignments),
        "tier = CASE WHEN (a, b) IN (SELECT x, y FROM t WHERE z) THEN 'x' ELSE tier END, \
         n = CASE WHEN n > 1 THEN 0 ELSE n END"
    );
    assert!(text(&condition).starts_with("id = $1 AND tier "), "{}", text(&condition));
    let Statement::Delete { target, condition } = one("DELETE FROM users WHERE id IN (1, 2)") else {
        panic!()
    };
    assert_eq!((target.value.as_str(), text(&condition).as_str()), ("users", "id IN (1, 2)"));
    let Statement::Delete { condition: None, .. } = one("DELETE FROM users") else { panic!() };
}

#[test]
fn merge_carries_its_clauses_in_order() {
    let sql = "MERGE INTO accounts AS a USING (SELECT id, sum(v) AS v FROM moves GROUP BY id) m ON a.id = m.id \
        WHEN MATCHED AND CASE WHEN m.v > 0 THEN true ELSE false END THEN UPDATE SET v = a.v + m.v, seen = NOW() \
        WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, v) VALUES (m.id, m.v) \
        WHEN NOT MATCHED BY SOURCE THEN DO NOTHING";
    let Statement::Merge(merge) = one(sql) else { panic!() };
    assert_eq!(
        (merge.target.value.as_str(), name(&merge.alias), name(&merge.source_alias)),
        ("accounts", "a", "m")
    );
    assert!(
        matches!(&merge.source, MergeSource::Query(query) if query.query.to_string().contains("GROUP BY"))
    );
    assert_eq!(merge.on.to_string(), "a.id = m.id");
    let clauses: Vec<String> = merge
        .clauses
        .iter()
        .map(|clause| {
            let action = match &clause.action {
                MergeAction::Update(assignments) => set(assignments),
                MergeAction::Delete => "delete".to_owned(),
                MergeAction::Insert { columns, values } => {
                    format!("{} of {}", values.len(), columns.as_ref().map_or(0, Vec::len))
                }
                MergeAction::Nothing => "nothing".to_owned(),
            };
            format!("{:?} {} {action}", clause.matched, text(&clause.condition))
        })
        .collect();
    assert_eq!(
        clauses,
        [
            "Both CASE WHEN m.v > 0 THEN true ELSE false END v = a.v + m.v, seen = NOW()",
            "Both  delete",
            "NotInTarget  2 of 2",
            "NotInSource  nothing",
        ]
    );
    assert_eq!(sql.get(merge.clauses[1].span.clone()), Some("WHEN MATCHED THEN DELETE"));
    let Statement::Merge(merge) =
        one("MERGE INTO t USING s ON t.k = s.k WHEN NOT MATCHED BY TARGET THEN INSERT VALUES (1)")
    else {
        panic!()
    };
    assert_eq!(merge.clauses[0].matched, Matched::NotInTarget);
}

#[test]
fn inserts_say_what_becomes_of_rows_that_are_there() {
    let Statement::Insert { source: InsertSource::Values(rows), conflict: Some(conflict), .. } =
        one("INSERT INTO t (k, n) VALUES ('a', 1), ('b', 2) \
         ON CONFLICT (k) DO UPDATE SET n = t.n + excluded.n WHERE t.n < 10")
    else {
        panic!()
    };
    let ConflictAction::Update { assignments, condition } = &conflict.action else { panic!() };
    assert_eq!(
        (rows.len(), set(assignments), text(&condition.as_deref().cloned())),
        (2, "n = t.n + excluded.n".into(), "t.n < 10".into())
    );
    assert_eq!(conflict.columns.unwrap()[0].value, "k");

    // A join's condition over a column of that name is none.
    let Statement::Insert { source: InsertSource::Query(query), conflict: Some(conflict), .. } =
        one("INSERT INTO t SELECT a.k FROM a JOIN b ON conflict = a.k ON CONFLICT DO NOTHING")
    else {
        panic!()
    };
    assert!(
        matches!(conflict.action, ConflictAction::Nothing)
            && query.query.to_string().ends_with("ON conflict = a.k")
    );

    let Statement::Insert { conflict: Some(conflict), .. } = one("UPSERT INTO t SELECT k, n FROM s") else {
        panic!()
    };
    assert!(matches!(conflict.action, ConflictAction::Replace));
    let Statement::Insert { conflict: None, .. } = one("INSERT INTO t VALUES (1)") else { panic!() };
}

#[test]
fn what_does_not_fit_is_told_at_its_place() {
    for (sql, message, place) in [
        ("UPDATE t", "expected `SET`, found the end of the statement", ""),
        ("UPDATE t SET", "expected a column's name, found the end of the statement", ""),
        ("UPDATE t SET a = 1, a = 2", "column `a` is set twice", "a"),
        ("UPDATE t SET a + 1", "expected `=`, found `+`", "+"),
        ("UPDATE t SET a = 1 FROM s", "unexpected `FROM`", "FROM"),
        ("UPDATE t SET a = 1 WHERE", "expected a value, found the end of the statement", ""),
        ("DELETE users", "expected `FROM`, found `users`", "users"),
        ("DELETE FROM t USING s", "expected `WHERE`, found `USING`", "USING"),
        ("MERGE INTO t USING s ON t.k = s.k", "expected `WHEN`, found the end of the statement", ""),
        (
            "MERGE INTO t USING s ON a = b WHEN MATCHED THEN INSERT VALUES (1)",
            "expected `UPDATE`, `DELETE` or `DO`, found `INSERT`",
            "INSERT",
        ),
        (
            "MERGE INTO t USING s ON a = b WHEN NOT MATCHED THEN INSERT (a, b) VALUES (1)",
            "2 columns and 1 values",
            "(",
        ),
        (
            "MERGE INTO t USING s ON a = b WHEN MATCHED IF x THEN DELETE",
            "expected `AND` or `THEN`, found `IF`",
            "IF",
        ),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE n = 1", "expected `SET`, found `n`", "n"),
        (
            "UPSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
            "`UPSERT` says already what becomes of a row whose key is there",
            "ON CONFLICT DO NOTHING",
        ),
    ] {
        let (found, at) = error(sql);
        assert_eq!((found.as_str(), at.as_str()), (message, place), "{sql}");
    }
}
