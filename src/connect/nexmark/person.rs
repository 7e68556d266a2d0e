//! The columns of `person`.

use std::sync::Arc;

use arrow::array::ArrayRef;

use super::generator::Columns;
use super::model::Chance;
use crate::connect::dice::Throws;
use crate::error::Result;

/// Letters of padding that bring a person, as a line of JSON, to about 200 bytes.
const EXTRA_CHARS: u64 = 12;

const FIRST_NAMES: [&str; 12] =
    ["Ada", "Ben", "Clara", "David", "Elena", "Farid", "Grace", "Henry", "Ines", "Jonas", "Kira", "Luis"];
const LAST_NAMES: [&str; 10] =
    ["Abbott", "Becker", "Castro", "Dupont", "Evans", "Fischer", "Garcia", "Hansen", "Ito", "Jones"];
const CITIES: [&str; 10] = [
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];

impl Columns<'_> {
    /// Makes the column of `person` with this name.
    pub(super) fn person(&self, column: &str) -> Result<ArrayRef> {
        match column {
            "id" => self.ids(),
            "name" => self.text(Chance::Name, 14, |throws, out| {
                out.extend_from_slice(throws.pick(&FIRST_NAMES).as_bytes());
                out.push(b' ');
                out.extend_from_slice(throws.pick(&LAST_NAMES).as_bytes());
            }),
            "emailAddress" => self.text(Chance::Email, 17, |throws, out| {
                throws.letters(out, 7);
                out.push(b'@');
                throws.letters(out, 5);
                out.extend_from_slice(b".com");
            }),
            "creditCard" => self.text(Chance::CreditCard, 19, credit_card),
            "city" => self.text(Chance::City, 10, |throws, out| {
                out.extend_from_slice(throws.pick(&CITIES).as_bytes());
            }),
            "state" => self.text(Chance::State, 2, |throws, out| {
                out.extend_from_slice(throws.pick(&STATES).as_bytes());
            }),
            "dateTime" => Ok(Arc::new(self.times())),
            "extra" => self.extra(Chance::PersonExtra, EXTRA_CHARS),
            _ => Err(Self::unknown(column)),
        }
    }
}

/// Writes four groups of four digits.
fn credit_card(throws: &mut Throws, out: &mut Vec<u8>) {
    for group in 0..4 {
        if group > 0 {
            out.push(b' ');
        }
        let digits = throws.below(10_000);
        for place in [1_000, 100, 10, 1] {
            out.push(b'0' + u8::try_from(digits / place % 10).unwrap_or(0));
        }
    }
}
