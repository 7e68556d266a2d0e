//! [`Dice`]: chance as a pure function of a seed and a number, so that any row can be made without the rows before it.

/// Separates neighbouring inputs before they are mixed; odd, so no two numbers fall together.
const STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;

/// One stream of chance of a seed: for each number a sequence of throws of its own.
///
/// The throws are part of what a seed means: they are the same on every machine and must stay so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dice {
    key: u64,
}

impl Dice {
    /// Creates the stream `stream` of `seed`; streams do not know of each other.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self { key: mix(mix(seed.wrapping_add(STRIDE)) ^ stream.wrapping_mul(STRIDE)) }
    }

    /// Returns the throws of `number`.
    pub(crate) fn at(self, number: u64) -> Throws {
        Throws { state: mix(self.key.wrapping_add(number.wrapping_mul(STRIDE))) }
    }
}

/// The throws that belong to one number.
#[derive(Debug)]
pub(crate) struct Throws {
    state: u64,
}

impl Throws {
    /// Returns 64 even bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STRIDE);
        mix(self.state)
    }

    /// Returns a number below `limit`, which must not be zero.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        scaled(self.bits(), limit)
    }

    /// Returns a number at most `limit`.
    pub(crate) fn at_most(&mut self, limit: u128) -> u128 {
        match u64::try_from(limit).ok().and_then(|limit| limit.checked_add(1)) {
            Some(limit) => u128::from(self.below(limit)),
            None => {
                let bits = u128::from(self.bits()) << 64 | u128::from(self.bits());
                limit.checked_add(1).map_or(bits, |limit| bits % limit)
            }
        }
    }

    /// Returns an element of `choices`, which must not be empty.
    pub(crate) fn pick<T: Copy, const N: usize>(&mut self, choices: &[T; N]) -> T {
        const { assert!(N > 0, "nothing to pick from") };
        #[expect(clippy::cast_possible_truncation, reason = "the number is below the length")]
        let index = self.below(N as u64) as usize;
        choices[index]
    }

    /// Returns a number from 0 up to but without 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Returns a number around 0 with variance 1 that is close to normal, within ±3.5 or so.
    ///
    /// A sum of four even parts: exact on every machine, unlike a logarithm.
    pub(crate) fn bell(&mut self) -> f64 {
        let bits = self.bits();
        let sum: u64 = (0..4).map(|part| bits >> (16 * part) & 0xFFFF).sum();
        (sum as f64 / 65_536.0 - 2.0) * 3f64.sqrt()
    }

    /// Appends `count` small letters to `out`.
    pub(crate) fn letters(&mut self, out: &mut Vec<u8>, count: usize) {
        let mut left = count;
        while left > 0 {
            let taken = left.min(8);
            let bytes = self.bits().to_le_bytes();
            let letters = bytes.map(|byte| b'a' + u8::try_from((u16::from(byte) * 26) >> 8).unwrap_or(0));
            out.extend_from_slice(&letters[..taken]);
            left -= taken;
        }
    }
}

/// Maps 64 even bits to a number below `limit`.
fn scaled(bits: u64, limit: u64) -> u64 {
    ((u128::from(bits) * u128::from(limit)) >> 64) as u64
}

/// Spreads every bit of `x` over all bits (the finaliser of SplitMix64).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
