//! Looking at eight bytes at a time inside one machine word.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Returns the eight bytes at `at` as a little-endian word, or nothing near the end.
#[inline(always)]
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk::<8>().map(|chunk| u64::from_le_bytes(*chunk))
}

/// Returns `byte` eight times.
pub(super) const fn repeat(byte: u8) -> u64 {
    ONES * byte as u64
}

/// Marks the bytes of `word` that equal the byte repeated in `pattern`; only the lowest mark is reliable.
#[inline(always)]
pub(super) fn equal(word: u64, pattern: u64) -> u64 {
    let zeroed = word ^ pattern;
    zeroed.wrapping_sub(ONES) & !zeroed & HIGHS
}

/// Marks the bytes below 0x20; only the lowest mark is reliable.
#[inline(always)]
pub(super) fn control(word: u64) -> u64 {
    word.wrapping_sub(repeat(0x20)) & !word & HIGHS
}

/// Marks what ends a run of plain characters in a JSON string: quote, backslash, control characters.
#[inline(always)]
pub(super) fn string_stop(word: u64) -> u64 {
    equal(word, repeat(b'"')) | equal(word, repeat(b'\\')) | control(word)
}

/// Returns how many bytes stand before the lowest mark.
#[inline(always)]
pub(super) fn before(marks: u64) -> usize {
    (marks.trailing_zeros() / 8) as usize
}

/// Returns whether a byte outside ASCII is in the word.
#[inline(always)]
pub(super) fn beyond_ascii(word: u64) -> bool {
    word & HIGHS != 0
}

/// Returns the number that eight ASCII digits write, or nothing if one of them is no digit.
#[inline(always)]
pub(super) fn eight_digits(word: u64) -> Option<u64> {
    let high = word & repeat(0xF0);
    let carried = word.wrapping_add(repeat(0x06)) & repeat(0xF0);
    if (high | (carried >> 4)) != repeat(0x33) {
        return None;
    }
    let digits = word & repeat(0x0F);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_FFFF_0000_FFFF;
    Some(fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xFFFF_FFFF)
}

#[cfg(test)]
mod tests {
    use super::{before, eight_digits, string_stop, word};

    #[test]
    fn eight_digits_are_read_in_order() {
        assert_eq!(word(b"12345678", 0).and_then(eight_digits), Some(12_345_678));
        assert_eq!(word(b"99999999", 0).and_then(eight_digits), Some(99_999_999));
        assert_eq!(word(b"1234567:", 0).and_then(eight_digits), None);
        assert_eq!(word(b"/2345678", 0).and_then(eight_digits), None);
        assert_eq!(word(b"1234567", 0), None);
    }

    #[test]
    fn the_first_stop_is_found() {
        let text = "ab\u{e4}c\\\"xy".as_bytes();
        assert_eq!(word(text, 0).map(|w| before(string_stop(w))), Some(5));
    }
}
