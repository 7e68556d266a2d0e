//! Joins give the same rows in both modes.

use crate::support::Place;

#[test]
fn several_rows_are_no_value() {
    let place = Place::new(&[("orders.csv", "id,user_id\n1,1\n2,2\n"), ("users.csv", "user_id\n1\n2\n")]);
    let sql = |rest: &str| {
        format!(
            "CREATE TABLE users (user_id BIGINT PRIMARY KEY) WITH ('connector' = 'file', 'path' = 'users.csv'); \
             CREATE STREAM orders (id BIGINT, user_id BIGINT) WITH ('connector' = 'file', 'path' = 'orders.csv'); \
             {rest}"
        )
    };
    let queries = [
        "SELECT id, (SELECT user_id FROM users) AS u FROM orders",
        "SELECT id FROM orders WHERE user_id = (SELECT user_id FROM users)",
    ];
    let refused = |query: &str, mode: &str| {
        let ran = place.velo(&["run", "-q", "--mode", mode, "-e", &sql(query)]);
        assert_ne!(ran.code, 0, "{mode} {query}");
        let said = ran.stderr.to_lowercase();
        assert!(said.contains("scalar subquery returned more than one row"), "{mode} {query}: {said}");
    };
    for query in queries {
        refused(query, "stream");
        refused(query, "batch");
    }
    refused("SELECT user_id, (SELECT user_id FROM users) AS u FROM users EMIT CHANGES", "stream");
}
