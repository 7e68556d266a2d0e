//! Joins give the same rows in both modes.

use crate::support::{Place, sorted};

#[test]
fn columns_of_one_name_stay_apart_beside_a_version() {
    let place = Place::new(&[
        ("orders.csv", "id,k,w,ts\n1,1,3,2024-01-01T00:00:02\n2,2,3,2024-01-01T00:00:03\n"),
        ("rates.csv", "k,w,since\n1,5,2024-01-01T00:00:01\n2,1,2024-01-01T00:00:01\n"),
    ]);
    let sql = "CREATE TABLE r (k BIGINT PRIMARY KEY, w BIGINT, since TIMESTAMP(3), WATERMARK FOR since AS since) \
                 WITH ('connector' = 'file', 'path' = 'rates.csv'); \
               CREATE STREAM o (id BIGINT, k BIGINT, w BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) \
                 WITH ('connector' = 'file', 'path' = 'orders.csv'); \
               SELECT o.id, o.w AS ours, r.w AS theirs \
               FROM o JOIN r FOR SYSTEM_TIME AS OF o.ts AS r ON o.k = r.k WHERE o.w < r.w";
    for mode in ["stream", "batch"] {
        let ran = place.velo(&["run", "-q", "--mode", mode, "-e", sql]);
        assert_eq!(sorted(&ran.stdout), ["{\"id\":1,\"ours\":3,\"theirs\":5}"], "{mode}: {}", ran.stderr);
    }
}

#[test]
fn a_row_that_must_be_found_is_missed_in_both_modes() {
    let place = Place::new(&[
        ("orders.csv", "id,user_id\n1,1\n2,2\n3,9\n"),
        ("users.csv", "user_id,tier\n1,gold\n2,silver\n"),
    ]);
    let sql = |rest: &str| {
        format!(
            "CREATE TABLE users (user_id BIGINT PRIMARY KEY, tier VARCHAR) WITH ('connector' = 'file', 'path' = 'users.csv'); \
             CREATE STREAM orders (id BIGINT, user_id BIGINT) WITH ('connector' = 'file', 'path' = 'orders.csv'); \
             SELECT o.id, u.tier FROM {rest}"
        )
    };
    let joins = [
        "orders o JOIN users u ON o.user_id = u.user_id",
        "users u RIGHT JOIN orders o ON o.user_id = u.user_id",
    ];
    let fails = [
        "'users.on.missing' = 'fail'",
        "'users.on.missing' = 'retry', 'users.retry.delay' = '1ms', 'users.retry.then' = 'fail'",
    ];
    for mode in ["stream", "batch"] {
        for join in joins {
            for option in fails {
                let ran = place.velo(&[
                    "run",
                    "-q",
                    "--mode",
                    mode,
                    "-e",
                    &sql(&format!("{join} WITH ({option})")),
                ]);
                assert_ne!(ran.code, 0, "{mode} {join} {option}");
                ran.says(&["table `users` has no row for 9"]);
            }
            let found = format!("{join} WHERE o.user_id < 9 AND u.tier = 'gold' WITH ({})", fails[0]);
            let ran = place.velo(&["run", "-q", "--mode", mode, "-e", &sql(&found)]);
            assert_eq!(ran.stdout, "{\"id\":1,\"tier\":\"gold\"}\n", "{mode} {join}: {}", ran.stderr);
        }
    }
}

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
        let tells =
            ["scalar subquery returned more than one row", "a subquery that stands for a value has 2 rows"];
        assert!(tells.iter().any(|text| said.contains(text)), "{mode} {query}: {said}");
    };
    for query in queries {
        refused(query, "stream");
        refused(query, "batch");
    }
    refused("SELECT user_id, (SELECT user_id FROM users) AS u FROM users EMIT CHANGES", "stream");
}
