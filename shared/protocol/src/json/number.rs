//! Decimal text to numbers: exact, and fast for the numbers that tensors hold.

#![allow(
    clippy::inline_always,
    reason = "measured: arrays of numbers are read a fifth faster"
)]

/// Powers of ten that an `f64` holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Powers of ten up to that of the digits of a chunk.
const TENS: [u64; 9] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];

/// Digits that always fit a `u64`.
const EXACT_DIGITS: usize = 19;

/// Bits of an `f64`'s fraction that an `f32` drops, and the value of these bits halfway between
/// two `f32`.
const DROPPED: u64 = (1 << 29) - 1;
const HALFWAY: u64 = 1 << 28;

/// A number of JSON's grammar, taken apart: `± digits × 10^exponent`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decimal<'a> {
    text: &'a [u8],
    negative: bool,
    digits: u64,
    exponent: i32,
    /// `digits` holds all digits of the text.
    exact: bool,
    integer: bool,
}

impl<'a> Decimal<'a> {
    /// The number that `bytes` start with, and its length; `None` where JSON has no such number.
    #[inline(always)]
    pub(crate) fn scan(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let negative = bytes.first() == Some(&b'-');
        let start = usize::from(negative);
        let mut digits = 0;
        let point = take_few_digits(bytes, start, &mut digits);
        let leading_zero = point - start > 1 && bytes[start] == b'0';
        if point == start || leading_zero {
            return None;
        }
        let mut end = point;
        let mut fraction = 0;
        if bytes.get(end) == Some(&b'.') {
            let after = end + 1;
            end = take_digits(bytes, after, &mut digits);
            fraction = end - after;
            if fraction == 0 {
                return None;
            }
        }
        let exact = point - start + fraction <= EXACT_DIGITS;
        let mut integer = fraction == 0;
        let mut exponent = 0;
        if let Some(b'e' | b'E') = bytes.get(end) {
            integer = false;
            (exponent, end) = take_exponent(bytes, end + 1)?;
        }
        let exponent = exponent.saturating_sub(i32::try_from(fraction).unwrap_or(i32::MAX));
        let text = &bytes[..end];
        Some((
            Self {
                text,
                negative,
                digits,
                exponent,
                exact,
                integer,
            },
            end,
        ))
    }

    /// The number as it was written.
    pub(crate) fn text(&self) -> &'a str {
        // All of it is ASCII.
        std::str::from_utf8(self.text).unwrap_or_default()
    }

    /// The number as an integer; `None` where it has a fraction or an exponent, or is beyond
    /// every integer datatype.
    pub(crate) fn to_integer(self) -> Option<i128> {
        if !self.integer {
            return None;
        }
        if !self.exact {
            return self.text().parse().ok();
        }
        let value = i128::from(self.digits);
        Some(if self.negative { -value } else { value })
    }

    /// Whether the number is written without a fraction and an exponent.
    pub(crate) fn is_integer(&self) -> bool {
        self.integer
    }

    /// The nearest `f64`; infinite where it is out of range.
    pub(crate) fn to_f64(self) -> f64 {
        // Digits and power are exact, so the one operation rounds correctly (Clinger, 1990).
        if self.exact
            && self.digits <= 1 << 53
            && let Some(value) = self.scaled()
        {
            return if self.negative { -value } else { value };
        }
        self.text().parse().unwrap_or(f64::NAN)
    }

    /// The nearest `f32`; infinite where it is out of range.
    #[inline(always)]
    pub(crate) fn to_f32(self) -> f32 {
        if self.exact
            && let Some(value) = self.scaled()
        {
            // Two roundings put the f64 at most two units from the true value. Unless that
            // reaches halfway between two f32, the third rounding is right.
            let from_halfway = (value.to_bits() & DROPPED).abs_diff(HALFWAY);
            let normal = (f64::from(f32::MIN_POSITIVE)..1e38).contains(&value);
            if value == 0.0 || (normal && from_halfway > 4) {
                return if self.negative {
                    -value as f32
                } else {
                    value as f32
                };
            }
        }
        self.text().parse().unwrap_or(f32::NAN)
    }

    /// `digits × 10^exponent` within two units of the last place, if the power is exact.
    #[inline(always)]
    fn scaled(self) -> Option<f64> {
        let power = *POWERS.get(self.exponent.unsigned_abs() as usize)?;
        let digits = self.digits as f64;
        Some(if self.exponent < 0 {
            digits / power
        } else {
            digits * power
        })
    }
}

/// Takes digits into `value`, which wraps past 19 of them; answers where they end.
#[inline(always)]
fn take_digits(bytes: &[u8], mut at: usize, value: &mut u64) -> usize {
    // As many as a float64 may need; what it has beyond them are one or two.
    for _ in 0..2 {
        let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk()) else {
            break;
        };
        let chunk = u64::from_le_bytes(*chunk);
        let count = leading_digits(chunk);
        if count < 8 {
            // The digits move to the end, zeros come before them. Two shifts: one by 64 is none.
            let half = 4 * (8 - count);
            let digits = eight_digits(chunk << half << half);
            *value = value.wrapping_mul(TENS[count]).wrapping_add(digits);
            return at + count;
        }
        *value = value
            .wrapping_mul(TENS[8])
            .wrapping_add(eight_digits(chunk));
        at += 8;
    }
    take_few_digits(bytes, at, value)
}

/// The same, one by one.
#[inline(always)]
fn take_few_digits(bytes: &[u8], mut at: usize, value: &mut u64) -> usize {
    while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
        *value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        at += 1;
    }
    at
}

/// How many bytes are ASCII digits before the first that is none; the first byte is the lowest.
#[inline(always)]
fn leading_digits(chunk: u64) -> usize {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    const ZEROS: u64 = 0x3030_3030_3030_3030;
    let below = (chunk & HIGH) ^ ZEROS;
    // A carry leaves no byte but one that is no digit: what follows that one does not count.
    let above = (chunk.wrapping_add(0x0606_0606_0606_0606) & HIGH) ^ ZEROS;
    (below | above).trailing_zeros() as usize / 8
}

/// The value of eight digits, in ASCII or as zero bytes, first digit in the lowest byte (Lemire,
/// "Number parsing at a gigabyte per second", section 8).
#[inline(always)]
fn eight_digits(chunk: u64) -> u64 {
    const PAIRS: u64 = 0x0000_00ff_0000_00ff;
    let value = chunk & 0x0f0f_0f0f_0f0f_0f0f;
    let value = value * 10 + (value >> 8);
    let low = (value & PAIRS).wrapping_mul(100 + (1_000_000 << 32));
    let high = ((value >> 16) & PAIRS).wrapping_mul(1 + (10_000 << 32));
    low.wrapping_add(high) >> 32
}

fn take_exponent(bytes: &[u8], at: usize) -> Option<(i32, usize)> {
    let negative = bytes.get(at) == Some(&b'-');
    let start = at + usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
    let mut end = start;
    let mut value = 0_i32;
    while let Some(digit @ b'0'..=b'9') = bytes.get(end) {
        value = value
            .saturating_mul(10)
            .saturating_add(i32::from(digit - b'0'));
        end += 1;
    }
    (end > start).then_some((if negative { -value } else { value }, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(text: &str) -> Option<Decimal<'_>> {
        Decimal::scan(text.as_bytes())
            .filter(|(_, end)| *end == text.len())
            .map(|(n, _)| n)
    }

    /// Both floats of a text are those of the standard library, which rounds correctly.
    fn agrees(text: &str) {
        let number = whole(text).unwrap_or_else(|| panic!("{text}"));
        let (single, double) = (text.parse::<f32>().unwrap(), text.parse::<f64>().unwrap());
        assert_eq!(number.to_f32().to_bits(), single.to_bits(), "{text} as f32");
        assert_eq!(number.to_f64().to_bits(), double.to_bits(), "{text} as f64");
    }

    #[test]
    fn the_grammar_is_jsons() {
        for text in [
            "0",
            "-0",
            "10",
            "1.0",
            "0.5e3",
            "1E+2",
            "1e-999",
            "12345678.12345678",
        ] {
            assert!(whole(text).is_some(), "{text}");
        }
        for text in [
            "", "-", "01", "-01", "+1", ".5", "1.", "1e", "1e+", "NaN", "0x1", "1_0",
        ] {
            assert!(whole(text).is_none(), "{text}");
        }
    }

    #[test]
    fn hard_numbers_round_correctly() {
        for text in [
            "-0",
            "-0.0",
            "0.1",
            "16777217",
            "16777217.0000000001",
            "16777216.9999999999",
            "3.4028235e38",
            "3.4028236e38",
            "3.5e38",
            "1.17549435e-38",
            "1e-45",
            "7e-46",
            "1.7976931348623157e308",
            "1e400",
            "9007199254740993",
            "0.12345679104328156",
            "99999999999999999999999",
            "0.000000000000000000000000000000123456789",
            "1.00000005960464477540",
            "1.0000000596046448",
        ] {
            agrees(text);
        }
    }

    #[test]
    fn integers_are_exact_to_the_last() {
        for (text, want) in [
            ("18446744073709551615", Some(i128::from(u64::MAX))),
            ("-9223372036854775808", Some(i128::from(i64::MIN))),
            ("18446744073709551616", Some(i128::from(u64::MAX) + 1)),
            ("1.0", None),
            ("1e3", None),
        ] {
            assert_eq!(whole(text).unwrap().to_integer(), want, "{text}");
        }
        assert_eq!(whole(&"9".repeat(60)).unwrap().to_integer(), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn floats_agree_with_the_standard_library(
            bits: u32, double: u64, digits: u64, exponent in -30_i32..30, point in 0..12_usize
        ) {
            let single = f32::from_bits(bits);
            if single.is_finite() {
                agrees(&single.to_string());
                agrees(&f64::from(single).to_string());
                // Halfway to the next f32, and a little to either side.
                let next = f32::from_bits(bits + 1);
                let halfway = f64::midpoint(f64::from(single), f64::from(next));
                if halfway.is_finite() {
                    agrees(&format!("{halfway:e}"));
                    agrees(&format!("{:.17e}", f64::from_bits(halfway.to_bits() + 1)));
                }
            }
            let double = f64::from_bits(double);
            if double.is_finite() {
                agrees(&format!("{double:e}"));
            }
            let text = digits.to_string();
            agrees(&format!("{text}e{exponent}"));
            let (whole, fraction) = text.split_at(point.clamp(1, text.len()));
            if !(fraction.is_empty() || whole.starts_with('0') && whole.len() > 1) {
                agrees(&format!("-{whole}.{fraction}"));
            }
        }
    }
}
