//! Generated queries over generated files: a stream read to its end gives the answer of batch mode and of DataFusion.

#[cfg(test)]
#[path = "support/oracle.rs"]
mod support;

#[cfg(test)]
mod oracle {
    use proptest::prelude::*;

    use super::support::{Engine, Files, Format, Query, Row, Window, answers, files, late_answer, queries};

    /// How many cases run where `PROPTEST_CASES` does not say it.
    fn cases(default: u32) -> ProptestConfig {
        let config = ProptestConfig::default();
        let said = config.cases != 256;
        ProptestConfig { cases: if said { config.cases } else { default }, max_shrink_iters: 200, ..config }
    }

    proptest! {
        #![proptest_config(cases(60))]

        #[test]
        fn a_finished_stream_gives_the_batch_answer(query in queries(), files in files(40), format in Format::any()) {
            let place = Files::write(&files, format);
            let batch = answers(&place, &query, Engine::Batch);
            let stream = answers(&place, &query, Engine::Stream { rows: 65_536, workers: 2 });
            prop_assert_eq!(&stream.rows, &batch.rows, "stream and batch differ: {}", query.ours());
            if let Some(sql) = query.plain() {
                let plain = answers(&place, &query, Engine::DataFusion(sql.clone(), files.clone()));
                prop_assert_eq!(&stream.rows, &plain.rows, "DataFusion says otherwise: {}", sql);
            }
        }
    }

    proptest! {
        #![proptest_config(cases(40))]

        #[test]
        fn the_answer_does_not_depend_on_batching(
            query in queries(), files in files(40), format in Format::any(),
            rows in 1_usize..20, workers in 1_usize..8,
        ) {
            let place = Files::write(&files, format);
            let whole = answers(&place, &query, Engine::Stream { rows: 65_536, workers: 2 });
            let parts = answers(&place, &query, Engine::Stream { rows, workers });
            prop_assert_eq!(&whole.rows, &parts.rows, "batches of {} on {} workers: {}", rows, workers, query.ours());
            let mut files = files;
            for turned in [true, false] {
                // In another order of arrival: from the back, then from the middle.
                for rows in &mut files {
                    let middle = rows.len() / 2;
                    if turned { rows.reverse() } else { rows.rotate_left(middle) }
                }
                let place = Files::write(&files, format);
                let other = answers(&place, &query, Engine::Stream { rows, workers });
                prop_assert_eq!(&whole.rows, &other.rows, "in another order: {}", query.ours());
            }
        }
    }

    proptest! {
        #![proptest_config(cases(40))]

        #[test]
        fn late_rows_are_the_same_whatever_the_batching(
            files in files(60), format in Format::any(), window in Window::of_late_rows(),
            bound_s in 0_i64..20, grace_s in 0_i64..10,
            rows in 1_usize..20, workers in 1_usize..8,
        ) {
            let files: Vec<Vec<Row>> = files.into_iter().take(2).collect();
            let place = Files::write(&files, format);
            let query = Query::late(window, grace_s, bound_s);
            let expected = late_answer(&files, window, bound_s, grace_s);
            for (rows, workers) in [(65_536, 2), (rows, workers), (1, 4)] {
                let found = answers(&place, &query, Engine::Stream { rows, workers });
                prop_assert_eq!(found.late, expected.late, "late rows, batches of {} on {} workers", rows, workers);
                prop_assert_eq!(&found.rows, &expected.rows, "batches of {} on {} workers", rows, workers);
            }
        }
    }
}
