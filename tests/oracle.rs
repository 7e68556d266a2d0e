//! Generated queries over generated files: a stream read to its end gives the answer of batch mode and of DataFusion.

#[cfg(test)]
#[path = "support/oracle.rs"]
mod support;

#[cfg(test)]
#[path = "oracle/chains.rs"]
mod chains;

#[cfg(test)]
mod oracle {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::support::joined;
    use super::support::timeline::{at_once, live, timelines};
    use super::support::{
        Engine, Files, Format, Found, Query, Row, Window, answers, files, have_own_instants, late_answer,
        queries,
    };

    /// How many cases run where `PROPTEST_CASES` does not say it.
    pub(super) fn cases(default: u32) -> ProptestConfig {
        let config = ProptestConfig::default();
        let said = config.cases != 256;
        ProptestConfig { cases: if said { config.cases } else { default }, max_shrink_iters: 200, ..config }
    }

    /// Asks stream, batch and DataFusion, and returns what they say.
    fn all_agree(
        query: &Query,
        files: &[Vec<Row>],
        format: Format,
        rows: usize,
        workers: usize,
    ) -> Result<Found, TestCaseError> {
        let place = Files::write(files, format);
        let stream = answers(&place, query, Engine::Stream { rows, workers });
        if let Some(sql) = query.plain() {
            let plain = answers(&place, query, Engine::DataFusion(sql.clone(), files.to_vec()));
            prop_assert_eq!(
                &stream.rows,
                &plain.rows,
                "DataFusion says otherwise: {}\nfor {}",
                sql,
                query.ours()
            );
        }
        let batch = answers(&place, query, Engine::Batch);
        prop_assert_eq!(&stream.rows, &batch.rows, "stream and batch differ: {}", query.ours());
        prop_assert_eq!(stream.late, 0, "late rows: {}", query.ours());
        Ok(stream)
    }

    proptest! {
        #![proptest_config(cases(60))]

        #[test]
        fn a_finished_stream_gives_the_batch_answer(query in queries(), files in files(40), format in Format::any()) {
            all_agree(&query, &files, format, 65_536, 2)?;
        }
    }

    proptest! {
        #![proptest_config(cases(40))]

        #[test]
        fn the_answer_does_not_depend_on_batching_or_order(
            query in queries(), files in files(40), format in Format::any(),
            rows in 1_usize..20, workers in 1_usize..8,
        ) {
            let mut files = files;
            let place = Files::write(&files, format);
            let whole = answers(&place, &query, Engine::Stream { rows: 65_536, workers: 2 });
            for order in ["as they are", "from the back", "from the middle"] {
                for rows in &mut files {
                    let middle = rows.len() / 2;
                    match order {
                        "from the back" => rows.reverse(),
                        "from the middle" => rows.rotate_left(middle),
                        _ => {}
                    }
                }
                let found = all_agree(&query, &files, format, rows, workers)?;
                // Which of two rows of one instant is the first depends on their places, and so on the order.
                if order == "as they are" || have_own_instants(&files) {
                    prop_assert_eq!(&whole, &found, "rows {}: {}", order, query.ours());
                }
            }
        }
    }

    proptest! {
        #![proptest_config(cases(60))]

        #[test]
        fn joins_and_subqueries_give_the_batch_answer(
            query in joined::joins(), world in joined::worlds(), format in Format::any(),
            rows in select(vec![1_usize, 7, 65_536]), workers in 1_usize..5,
        ) {
            let places = world.write(format);
            let stream = joined::answers(&places, &query, &Engine::Stream { rows, workers });
            prop_assert_eq!(&stream.rows, &world.plain(&query), "DataFusion says otherwise: {}", query.plain);
            let batch = joined::answers(&places, &query, &Engine::Batch);
            prop_assert_eq!(&stream.rows, &batch.rows, "stream and batch differ: {}", query.ours);
            prop_assert_eq!(stream.late, 0, "late rows: {}", query.ours);
        }
    }

    proptest! {
        #![proptest_config(cases(40))]

        #[test]
        fn quiet_streams_change_nothing(
            query in queries(), timeline in timelines(), rows in select(vec![1_usize, 5, 65_536]), workers in 1_usize..5,
        ) {
            let lived = live(&timeline, &query, rows, workers);
            let (batch, plain) = at_once(&timeline, &query);
            prop_assert_eq!(lived.at_the_end.late, 0, "late rows: {}", query.ours());
            prop_assert_eq!(&lived.at_the_end.rows, &batch, "stream and batch differ: {}", query.ours());
            if let Some(plain) = plain {
                prop_assert_eq!(&batch, &plain, "DataFusion says otherwise: {}", query.ours());
            }
            if let Some(before) = lived.before_the_end {
                prop_assert_eq!(&before, &batch, "windows that the clock did not close: {}", query.ours());
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
