//! [`NexmarkConnector`]: the Nexmark benchmark's persons, auctions and bids.

use arrow::datatypes::SchemaRef;

use crate::connect::nexmark::{NexmarkKind, NexmarkOptions, NexmarkSource};
use crate::connect::{KnownPartition, OptionDoc, Options, ReadRequest, Source, SourceConnector};
use crate::error::{Error, Result};
use crate::format::Decoder;

/// The options of Nexmark sources.
pub const NEXMARK_DOCS: &[OptionDoc] = &[
    OptionDoc {
        key: "kind",
        value: "person | auction | bid",
        default: "bid",
        what: "which of the three streams",
    },
    OptionDoc {
        key: "events",
        value: "number",
        default: "endless",
        what: "how many events all three streams have together",
    },
    OptionDoc { key: "seed", value: "number", default: "1", what: "the same seed gives the same events" },
    OptionDoc {
        key: "events.per.second",
        value: "number",
        default: "10000",
        what: "events for each second of event time",
    },
    OptionDoc {
        key: "rate",
        value: "number",
        default: "as fast as possible",
        what: "rows a second of this stream",
    },
    OptionDoc {
        key: "partitions",
        value: "number",
        default: "1",
        what: "how many partitions the stream has",
    },
];

/// A Nexmark stream.
#[derive(Debug)]
pub struct NexmarkConnector {
    options: NexmarkOptions,
}

impl NexmarkConnector {
    /// Reads the options; declared columns must be the benchmark's own.
    pub fn read(options: &mut Options, declared: Option<&SchemaRef>) -> Result<Self> {
        let kinds =
            [("person", NexmarkKind::Person), ("auction", NexmarkKind::Auction), ("bid", NexmarkKind::Bid)];
        let mut read = NexmarkOptions::new(options.take_choice("kind", &kinds)?.unwrap_or(NexmarkKind::Bid));
        read.events = options.take_optional("events")?;
        read.seed = options.take_or("seed", read.seed)?;
        read.events_per_second = options.take_or("events.per.second", read.events_per_second)?;
        read.rate = options.take_optional("rate")?;
        read.partitions = options.take_or("partitions", read.partitions)?;
        let own = read.kind.schema();
        if let Some(declared) = declared {
            let same = declared.fields().iter().zip(own.fields()).all(|(declared, own)| {
                declared.name().eq_ignore_ascii_case(own.name()) && declared.data_type() == own.data_type()
            });
            if !same || declared.fields().len() != own.fields().len() {
                return Err(Error::invalid("the columns of a `nexmark` stream are the benchmark's own")
                    .with_hint("leave the column list out; `DESCRIBE` shows them"));
            }
        }
        Ok(Self { options: read })
    }
}

impl SourceConnector for NexmarkConnector {
    fn describe(&self) -> String {
        format!("nexmark {:?}", self.options.kind).to_lowercase()
    }

    fn is_bounded(&self) -> bool {
        self.options.events.is_some()
    }

    fn infer_schema(&self) -> Result<SchemaRef> {
        Ok(self.options.kind.schema())
    }

    fn partitions(&self) -> Result<Vec<KnownPartition>> {
        self.options.known_partitions()
    }

    fn open(&self, request: &ReadRequest) -> Result<Box<dyn Source>> {
        let columns = Some(request.columns.clone());
        Ok(Box::new(NexmarkSource::try_new(
            &self.options,
            request.limits,
            std::sync::Arc::clone(&request.clock),
            columns,
        )?))
    }

    fn decoder(&self, _request: &ReadRequest) -> Result<Option<Box<dyn Decoder>>> {
        Ok(None)
    }
}
