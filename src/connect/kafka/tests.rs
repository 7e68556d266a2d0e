//! Checks that need no broker.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow::array::{TimestampMicrosecondArray, TimestampSecondArray};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::client::ClientEvents;
use super::lookup::nearest;
use super::settings::{DeliveryProfile, KeyFormat, Role, check_client_settings};
use super::trouble::kind;
use super::{client_setting_names, key};
use crate::error::ErrorKind;

fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
    let names: Vec<String> = (0..columns.len()).map(|column| format!("c{column}")).collect();
    let columns = names.iter().map(String::as_str).zip(columns).map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

#[test]
fn keys_are_texts_joined_by_a_bar() {
    let rows = batch(vec![
        Arc::new(StringArray::from(vec![Some("a"), Some(""), None, None])),
        Arc::new(
            Decimal128Array::from(vec![Some(150), None, Some(-7), None])
                .with_precision_and_scale(9, 2)
                .unwrap(),
        ),
    ]);
    let mut format = KeyFormat::Text;
    let joined = key::keys(&rows, &[0, 1], &mut format).unwrap();
    let texts = |keys: &key::Texts| {
        let text = |row| keys.get(row).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        (0..4).map(text).collect::<Vec<_>>()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(texts(&joined), [some("a|1.50"), some("|"), some("|-0.07"), None]);
    let single = key::keys(&rows, &[0], &mut format).unwrap();
    assert_eq!(texts(&single), [some("a"), some(""), None, None]);
    let none = key::keys(&rows, &[], &mut format).unwrap();
    assert_eq!(texts(&none), [None, None, None, None]);
}

#[test]
fn timestamps_are_milliseconds_where_a_message_can_carry_them() {
    let rows = batch(vec![
        Arc::new(TimestampMicrosecondArray::from(vec![Some(1_500), Some(0), Some(-1_000), None])),
        Arc::new(TimestampSecondArray::from(vec![1, 2, 3, 4]).with_timezone("UTC")),
        Arc::new(Date32Array::from(vec![1, 0, -1, 2])),
        Arc::new(Int64Array::from(vec![1, 2, 3, 4])),
    ]);
    assert_eq!(key::timestamps(&rows, 0).unwrap(), [Some(1), None, None, None]);
    assert_eq!(key::timestamps(&rows, 1).unwrap(), [1000, 2000, 3000, 4000].map(Some));
    assert_eq!(key::timestamps(&rows, 2).unwrap(), [Some(86_400_000), None, None, Some(172_800_000)]);
    let error = key::timestamps(&rows, 3).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Invalid, "the event time column `c3` is not a TIMESTAMP")
    );
}

#[test]
fn the_settings_that_a_job_relies_on_cannot_be_changed() {
    let check = |role, name: &str| check_client_settings(role, &[(name.to_owned(), "1".to_owned())]);
    for name in
        ["enable.auto.commit", "auto.offset.reset", "enable.partition.eof", "group.id", "bootstrap.servers"]
    {
        assert_eq!(check(Role::Source, name).unwrap_err().kind(), ErrorKind::Invalid, "{name}");
    }
    for name in ["transactional.id", "dr_cb", "opaque"] {
        assert!(check(Role::Sink, name).is_err(), "{name}");
    }
    assert!(client_setting_names(false).into_iter().all(|name| check(Role::Source, name).is_ok()));
    assert!(client_setting_names(true).into_iter().all(|name| check(Role::Sink, name).is_ok()));
    assert_eq!(DeliveryProfile::from_name("max_durability").unwrap(), DeliveryProfile::Durable);
    assert!(DeliveryProfile::from_name("fastest").is_err());
}

#[test]
fn near_names_come_nearest_first() {
    let names = ["orders", "order_items", "odrers", "trades", "order"];
    assert_eq!(nearest("orders", names.into_iter()), ["orders", "odrers", "order"]);
    assert_eq!(nearest("payments", names.into_iter()), [""; 0]);
}

#[test]
fn the_reason_of_an_absence_is_kept_and_error_kinds_say_who_acts() {
    let events = ClientEvents::default();
    let refused = "127.0.0.1:1/bootstrap: Connect failed: Connection refused (after 0ms in state CONNECT)";
    events.note(&KafkaError::Global(Code::BrokerTransportFailure), refused);
    events.note(&KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
    events.note(&KafkaError::Global(Code::PartitionEOF), "reached end of partition");
    let reason = "127.0.0.1:1/bootstrap: Connect failed: Connection refused";
    assert_eq!(events.last(), Some((Code::BrokerTransportFailure, reason.to_owned())));
    for (code, expected) in [
        (Code::MessageTimedOut, ErrorKind::Unavailable),
        (Code::MessageSizeTooLarge, ErrorKind::Data),
        (Code::TopicAuthorizationFailed, ErrorKind::Invalid),
        (Code::AutoOffsetReset, ErrorKind::Invalid),
        (Code::OutOfOrderSequenceNumber, ErrorKind::Unavailable),
    ] {
        assert_eq!(kind(code), expected, "{code:?}");
    }
}
