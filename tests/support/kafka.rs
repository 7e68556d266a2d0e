//! A real Kafka broker for one or more tests; where none can run, the tests say so and pass.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/kafka");

/// A header name and its value.
pub(crate) type TestHeader = (String, Option<Vec<u8>>);

/// A message as a test writes it, and as it comes back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: Vec<TestHeader>,
}

/// A running broker; dropping it ends it and deletes its data.
#[derive(Debug)]
pub(crate) struct KafkaServer {
    bootstrap: String,
    directory: String,
}

impl KafkaServer {
    /// Starts a broker, or says on stderr why there is none.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// Starts a broker with further lines of `server.properties`.
    pub(crate) fn start_with(lines: &[&str]) -> Option<Self> {
        let owner = std::process::id().to_string();
        let mut command = Command::new(SCRIPT);
        command.args(["start", "--owner", &owner]).stdin(Stdio::null());
        for line in lines {
            command.args(["-c", line]);
        }
        let output = command.output().expect("the script runs");
        let reason = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => {}
            Some(3) => {
                eprintln!("SKIPPED: Kafka tests: {}", reason.trim());
                return None;
            }
            _ => panic!("the broker did not start: {reason}"),
        }
        let lines: BTreeMap<String, String> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
            .collect();
        Some(Self { bootstrap: lines["KAFKA_BOOTSTRAP"].clone(), directory: lines["KAFKA_DIR"].clone() })
    }

    /// Returns a broker shared by the tests that run at the same time.
    pub(crate) fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<KafkaServer>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&server);
        Some(server)
    }

    /// Returns `host:port`.
    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Ends the broker at once; its data stay.
    pub(crate) fn kill(&self) {
        self.run("kill");
    }

    /// Starts the broker again on its data and port.
    pub(crate) fn restart(&self) {
        self.run("restart");
    }

    fn run(&self, verb: &str) {
        let output = Command::new(SCRIPT).args([verb, &self.directory]).stdin(Stdio::null()).output();
        let output = output.expect("the script runs");
        assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().expect("an admin client")
    }

    /// Creates a topic and returns when it is there.
    pub(crate) fn create_topic(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
        let made = futures::executor::block_on(self.admin().create_topics([&topic], &options));
        for made in made.expect("an answer") {
            made.expect("the topic is new");
        }
    }

    /// Deletes the records of a partition before `offset`.
    pub(crate) fn delete_records(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
        futures::executor::block_on(self.admin().delete_records(&list, &options))
            .expect("records are deleted");
    }

    /// Writes `records` and returns when the broker has them.
    pub(crate) fn produce(&self, topic: &str, records: impl IntoIterator<Item = Record>) {
        self.produce_with(topic, records, &[]);
    }

    /// Writes `records` with further client settings; with a `transactional.id` in one transaction.
    pub(crate) fn produce_with(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = Record>,
        settings: &[(&str, &str)],
    ) {
        let mut config = self.config();
        config.set("enable.idempotence", "true");
        for (name, value) in settings {
            config.set(*name, *value);
        }
        let producer: ThreadedProducer<_> =
            config.create_with_context(rdkafka::producer::DefaultProducerContext).expect("a producer");
        let limit = Duration::from_secs(60);
        let transaction = config.get("transactional.id").is_some();
        if transaction {
            producer.init_transactions(limit).expect("transactions");
            producer.begin_transaction().expect("a transaction");
        }
        for record in records {
            let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).partition(record.partition);
            message.key = record.key.as_deref();
            message.payload = record.value.as_deref();
            message.timestamp = record.timestamp;
            if !record.headers.is_empty() {
                let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                    headers.insert(Header { key, value: value.as_deref() })
                });
                message.headers = Some(headers);
            }
            while let Err((error, back)) = producer.send(message) {
                assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
                message = back;
                std::thread::yield_now();
            }
        }
        producer.flush(limit).expect("everything is delivered");
        if transaction {
            producer.commit_transaction(limit).expect("the transaction is committed");
        }
    }

    /// Reads a topic from its beginning to its end, partition by partition.
    pub(crate) fn consume(&self, topic: &str) -> Vec<Record> {
        let mut config = self.config();
        config.set("group.id", "test").set("enable.partition.eof", "true").set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10)).expect("metadata");
        let partitions = metadata.topics()[0].partitions().len();
        let mut list = TopicPartitionList::new();
        for number in 0..i32::try_from(partitions).unwrap() {
            list.add_partition_offset(topic, number, Offset::Beginning).expect("an offset");
        }
        consumer.assign(&list).expect("an assignment");
        let (mut records, mut ends) = (Vec::new(), 0);
        while ends < partitions {
            match consumer.poll(Duration::from_secs(20)).expect("the end comes") {
                Err(KafkaError::PartitionEOF(_)) => ends += 1,
                Err(error) => panic!("{error}"),
                Ok(message) => records.push(Record {
                    partition: message.partition(),
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                    timestamp: message.timestamp().to_millis(),
                    headers: message.headers().map_or_else(Vec::new, |headers| {
                        let owned = |header: Header<'_, &[u8]>| {
                            (header.key.to_owned(), header.value.map(<[u8]>::to_vec))
                        };
                        headers.iter().map(owned).collect()
                    }),
                }),
            }
        }
        records.sort_by_key(|record| record.partition);
        records
    }
}

impl Drop for KafkaServer {
    fn drop(&mut self) {
        let cleaned = Command::new(SCRIPT).args(["clean", &self.directory]).stdin(Stdio::null()).status();
        if !cleaned.is_ok_and(|status| status.success()) {
            eprintln!("kafka: {} is still there", self.directory);
        }
    }
}
