//! The Kafka connector's options, and the connectors that they make.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};

use super::settings::{
    Changelog, DeliveryProfile, KafkaSinkSettings, KafkaSourceSettings, KeyFormat, StartAt,
};
use super::source::known_partitions;
use super::{KafkaSink, KafkaSource};
use crate::connect::generator::time_millis;
use crate::connect::text_format::{DecodeSettings, take_decode_settings, take_format};
use crate::connect::{
    CHANGELOG_DOC, ChangelogForm, ChunkLimits, HEADERS, KnownPartition, OptionDoc, Options, Patience,
    Payload, Polled, ReadRequest, Sink, SinkConnector, Source, SourceConnector, TextFormat, WriteRequest,
};
use crate::error::{Error, Result};
use crate::format::{Decoder, Encoder};

/// How many messages are looked at to infer columns.
const SAMPLE_ROWS: usize = 1_000;
/// How long the first message of a sample is waited for.
const SAMPLE_WAIT: Duration = Duration::from_secs(5);

/// The options of Kafka sources and sinks, formats aside.
pub const KAFKA_DOCS: &[OptionDoc] = &[
    OptionDoc {
        key: "topic",
        value: "name, or names with commas",
        default: "the stream's name",
        what: "the topic",
    },
    OptionDoc {
        key: "bootstrap.servers",
        value: "host:port, …",
        default: "localhost:9092",
        what: "brokers to start from",
    },
    OptionDoc {
        key: "partitions",
        value: "numbers with commas",
        default: "all",
        what: "the partitions to read",
    },
    OptionDoc {
        key: "auto.offset.reset",
        value: "earliest | latest",
        default: "latest, of a table earliest",
        what: "where a job begins that has no position yet",
    },
    OptionDoc {
        key: "scan.start.timestamp",
        value: "epoch milliseconds or RFC 3339",
        default: "",
        what: "begins with the first record of that timestamp or later",
    },
    OptionDoc {
        key: "scan.end",
        value: "latest",
        default: "",
        what: "ends at what the topic holds when the job starts: the source is bounded",
    },
    OptionDoc {
        key: "topic.create",
        value: "number of partitions",
        default: "",
        what: "a sink creates a topic that does not exist",
    },
    OptionDoc {
        key: "delivery_profile",
        value: "balanced | high_throughput | low_latency | durable | development",
        default: "balanced",
        what: "producer settings for a purpose",
    },
    OptionDoc {
        key: "kafka.*",
        value: "setting",
        default: "",
        what: "a setting of librdkafka from the allow-list",
    },
    CHANGELOG_DOC,
];

/// A topic that is read.
#[derive(Debug, Clone)]
pub struct KafkaSourceConnector {
    settings: KafkaSourceSettings,
    /// Whether the options say where it begins.
    says_start: bool,
    format: TextFormat,
    decode: DecodeSettings,
    patience: Option<Patience>,
}

fn take_text_format(options: &mut Options) -> Result<TextFormat> {
    take_format(options, "json")?.ok_or_else(|| Error::invalid("Kafka messages cannot be Parquet files"))
}

fn take_brokers(options: &mut Options) -> Result<String> {
    options.take_or("bootstrap.servers", "localhost:9092".to_owned())
}

impl KafkaSourceConnector {
    /// Reads the options of a source named `name`.
    pub fn read(name: &str, options: &mut Options) -> Result<Self> {
        let topic = options.take_or("topic", name.to_owned())?;
        let mut settings = KafkaSourceSettings::new(take_brokers(options)?, "");
        settings.topics = topic.split(',').map(|topic| topic.trim().to_owned()).collect();
        settings.partitions =
            options.take_optional::<String>("partitions")?.map(|text| numbers(&text)).transpose()?;
        let reset = options.take_choice(
            "auto.offset.reset",
            &[("earliest", StartAt::Earliest), ("latest", StartAt::Latest)],
        )?;
        let timestamp: Option<String> = options.take_optional("scan.start.timestamp")?;
        let says_start = timestamp.is_some() || reset.is_some();
        settings.start = match timestamp {
            Some(text) => StartAt::Timestamp(time_millis(&text)?),
            None => reset.unwrap_or(StartAt::Latest),
        };
        settings.bounded = options.take_choice("scan.end", &[("latest", true)])?.unwrap_or(false);
        let patience = Patience::read(options, "topic")?;
        settings.client = options.take_prefixed("kafka.")?;
        let (format, decode) = (take_text_format(options)?, take_decode_settings(options)?);
        Ok(Self { settings, says_start, format, decode, patience })
    }
}

fn numbers(text: &str) -> Result<Vec<i32>> {
    let number = |part: &str| {
        part.trim().parse::<i32>().map_err(|_| {
            Error::invalid(format!("`partitions` = '{text}' is not a list of numbers"))
                .with_hint("as in '0,2,5'")
        })
    };
    text.split(',').map(number).collect()
}

impl SourceConnector for KafkaSourceConnector {
    fn describe(&self) -> String {
        format!("kafka `{}` ({})", self.settings.topics.join(","), self.format.name())
    }

    fn is_bounded(&self) -> bool {
        self.settings.bounded
    }

    fn can_infer_offline(&self) -> bool {
        false
    }

    fn reading_from_start(&self) -> Option<Arc<dyn SourceConnector>> {
        let settings = KafkaSourceSettings { start: StartAt::Earliest, ..self.settings.clone() };
        let begun: Arc<dyn SourceConnector> = Arc::new(Self { settings, ..self.clone() });
        (!self.says_start).then_some(begun)
    }

    fn has_headers(&self) -> bool {
        true
    }

    fn infer_schema(&self) -> Result<SchemaRef> {
        let settings =
            KafkaSourceSettings { start: StartAt::Earliest, bounded: false, ..self.settings.clone() };
        let limits = ChunkLimits { rows: SAMPLE_ROWS, bytes: 1 << 20, linger: Duration::ZERO };
        let mut source = KafkaSource::try_new(settings, limits)?;
        let mut waited = Duration::ZERO;
        let step = Duration::from_millis(100);
        while waited < SAMPLE_WAIT {
            if let Polled::Chunk(chunk) = source.poll(step)?
                && let Payload::Messages(messages) = chunk.payload
            {
                return self.format.infer(&as_lines(&messages), &self.decode);
            }
            waited += step;
        }
        Err(Error::absent(format!(
            "topic `{}` holds no record to infer columns from",
            self.settings.topics.join(",")
        ))
        .with_hint(
            "declare the columns: CREATE STREAM … (a BIGINT, …) WITH (…), or set `topic.wait.timeout`",
        ))
    }

    fn patience(&self) -> Option<Patience> {
        self.patience
    }

    fn partitions(&self) -> Result<Vec<KnownPartition>> {
        known_partitions(&self.settings)
    }

    fn open(&self, request: &ReadRequest) -> Result<Box<dyn Source>> {
        let settings = KafkaSourceSettings { with_headers: request.headers, ..self.settings.clone() };
        Ok(Box::new(KafkaSource::try_new(settings, request.limits)?))
    }

    fn decoder(&self, request: &ReadRequest) -> Result<Option<Box<dyn Decoder>>> {
        Ok(Some(self.format.decoder(request, &self.decode, None)?))
    }
}

/// Returns messages as lines, for a sample.
fn as_lines(messages: &crate::connect::Messages) -> Vec<u8> {
    let mut lines = Vec::with_capacity(messages.values.len() + messages.ends.len());
    let mut start = 0;
    for &end in &messages.ends {
        let value = messages.values.get(start..end as usize).unwrap_or_default();
        lines.extend(value.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
        lines.push(b'\n');
        start = end as usize;
    }
    lines
}

/// A topic that is written.
#[derive(Debug)]
pub struct KafkaSinkConnector {
    brokers: String,
    topic: String,
    client: Vec<(String, String)>,
    create: Option<i32>,
    profile: DeliveryProfile,
    format: TextFormat,
    changelog: ChangelogForm,
}

impl KafkaSinkConnector {
    /// Reads the options of a sink named `name`.
    pub fn read(name: &str, options: &mut Options) -> Result<Self> {
        let forms = [("op", ChangelogForm::Op), ("upsert", ChangelogForm::Upsert)];
        let profile: Option<String> = options.take_optional("delivery_profile")?;
        Ok(Self {
            topic: options.take_or("topic", name.to_owned())?,
            brokers: take_brokers(options)?,
            client: options.take_prefixed("kafka.")?,
            create: options.take_optional("topic.create")?,
            profile: profile
                .map_or(Ok(DeliveryProfile::default()), |name| DeliveryProfile::from_name(&name))?,
            format: take_text_format(options)?,
            changelog: options.take_choice("changelog", &forms)?.unwrap_or(ChangelogForm::AppendOnly),
        })
    }
}

impl SinkConnector for KafkaSinkConnector {
    fn describe(&self) -> String {
        format!("kafka `{}` ({})", self.topic, self.format.name())
    }

    fn changelog_form(&self) -> ChangelogForm {
        self.changelog
    }

    fn wants_event_time(&self) -> bool {
        true
    }

    fn takes_headers(&self) -> bool {
        true
    }

    fn open(&self, request: &WriteRequest) -> Result<Box<dyn Sink>> {
        let visible = request.schema.fields().iter().filter(|field| !field.name().starts_with("__")).cloned();
        let visible: SchemaRef = Arc::new(Schema::new(visible.collect::<Vec<_>>()));
        let changelog = match self.changelog {
            ChangelogForm::Op => Changelog::Op,
            ChangelogForm::Upsert => Changelog::Upsert,
            ChangelogForm::AppendOnly if !request.changelog => Changelog::AppendOnly,
            ChangelogForm::AppendOnly | ChangelogForm::NewRows => Changelog::NewRows,
        };
        let encoded = if changelog == Changelog::Op {
            crate::connect::ChangeEncoding::Op.schema(&visible)
        } else {
            visible
        };
        let settings = KafkaSinkSettings {
            brokers: self.brokers.clone(),
            topic: self.topic.clone(),
            client: self.client.clone(),
            key_columns: request.key.clone(),
            key_format: KeyFormat::Text,
            event_time: request.schema.index_of("__time").ok(),
            headers: request.schema.index_of(HEADERS).ok(),
            changelog,
            create_topic: self.create,
            profile: self.profile,
        };
        let encoder = VisibleColumns { encoder: self.format.encoder(encoded) };
        Ok(Box::new(KafkaSink::try_new(settings, Box::new(encoder))?))
    }
}

/// Encodes rows without the columns that travel unseen: the event time goes into the message's timestamp.
struct VisibleColumns {
    encoder: Box<dyn Encoder>,
}

fn visible(rows: &RecordBatch) -> Result<RecordBatch> {
    let schema = rows.schema();
    let names = schema.fields().iter().enumerate().filter(|(_, field)| !field.name().starts_with("__"));
    Ok(rows.project(&names.map(|(ordinal, _)| ordinal).collect::<Vec<_>>())?)
}

impl Encoder for VisibleColumns {
    fn header(&self) -> Result<Vec<u8>> {
        self.encoder.header()
    }

    fn encode(&mut self, rows: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        self.encoder.encode(&visible(rows)?, out)
    }

    fn encode_each(&mut self, rows: &RecordBatch, out: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<()> {
        self.encoder.encode_each(&visible(rows)?, out, ends)
    }
}
