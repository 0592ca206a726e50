//! Exact addition of decimal text: what is summed in any order gives the same sum.

use rust_decimal::Decimal;

/// Digits after the point. AMC's decimals have at most 17, its doubles about as many significant
/// ones; digits past the thirtieth are dropped.
const PLACES: u32 = 30;

/// Digits before the point that one value may have, so that a sum can be given as a [`Decimal`].
const WHOLE_DIGITS_MAX: u32 = 28;

const ONE: i128 = 10_i128.pow(PLACES);

/// `whole + part / 10^30`, with `0 <= part < 10^30`: 38 digits before and 30 after the point.
///
/// A [`Decimal`] has 28 significant digits and rounds when a sum needs more, so sums would depend
/// on the order of the rows. This one rounds once, at the end, and only when it must.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    whole: i128,
    part: i128,
}

impl Sum {
    /// Reads `-12.50`, `+3`, `.5` or `1.25E-7`. None for anything else, `NaN` and infinities
    /// included, and for more than 28 digits before the point.
    pub fn from_text(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if before.is_empty() && after.is_empty() {
            return None;
        }
        let mut power = i32::try_from(before.len()).ok()?.checked_add(exponent)?;
        let mut sum = Self::default();
        for byte in before.bytes().chain(after.bytes()) {
            power = power.checked_sub(1)?;
            let digit = byte.is_ascii_digit().then(|| i128::from(byte - b'0'))?;
            if digit > 0 {
                sum.put(digit, power)?;
            }
        }
        Some(if negative { sum.negated() } else { sum })
    }

    /// Adds `digit * 10^power`; none when the number gets too large.
    fn put(&mut self, digit: i128, power: i32) -> Option<()> {
        match u32::try_from(power) {
            Ok(power) if power >= WHOLE_DIGITS_MAX => return None,
            Ok(power) => self.whole += digit * 10_i128.pow(power),
            Err(_) => {
                if let Some(power) = PLACES.checked_sub(power.unsigned_abs()) {
                    self.part += digit * 10_i128.pow(power);
                }
            }
        }
        Some(())
    }

    fn negated(self) -> Self {
        match self.part {
            0 => Self { whole: -self.whole, part: 0 },
            part => Self { whole: -self.whole - 1, part: ONE - part },
        }
    }

    /// Adds; none when 38 digits before the point do not suffice.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let part = self.part + other.part;
        let whole = self.whole.checked_add(other.whole)?.checked_add(part / ONE)?;
        Some(Self { whole, part: part % ONE })
    }

    /// The sum as a [`Decimal`] without trailing zeros: exact when its 28 digits suffice, else
    /// rounded half away from zero at the last digit they hold. None when it is too large.
    pub fn to_decimal(self) -> Option<Decimal> {
        if self.whole < 0 {
            return self.negated().to_decimal().map(|positive| -positive);
        }
        (0..=Decimal::MAX_SCALE).rev().find_map(|places| {
            let step = 10_i128.pow(PLACES - places);
            let part = (self.part + step / 2) / step;
            let mantissa = self.whole.checked_mul(10_i128.pow(places))?.checked_add(part)?;
            let decimal = Decimal::try_from_i128_with_scale(mantissa, places).ok()?;
            Some(decimal.normalize())
        })
    }
}

impl From<Decimal> for Sum {
    fn from(decimal: Decimal) -> Self {
        let unit = 10_i128.pow(decimal.scale());
        Self {
            whole: decimal.mantissa().div_euclid(unit),
            part: decimal.mantissa().rem_euclid(unit) * 10_i128.pow(PLACES - decimal.scale()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> String {
        Sum::from_text(text).unwrap().to_decimal().unwrap().to_string()
    }

    fn sum_of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Sum {
        texts
            .into_iter()
            .map(|text| Sum::from_text(text).unwrap())
            .try_fold(Sum::default(), Sum::checked_add)
            .unwrap()
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        assert_eq!(decimal("9223372036854775807"), "9223372036854775807");
        assert_eq!(decimal("-12.50"), "-12.5");
        assert_eq!(decimal("+.5"), "0.5");
        assert_eq!(decimal("7."), "7");
        assert_eq!(decimal("1.25E-7"), "0.000000125");
        assert_eq!(decimal("1.5e3"), "1500");
        assert_eq!(decimal("-0"), "0");
    }

    #[test]
    fn what_is_no_number_is_not_read() {
        for text in
            ["", "-", ".", "e5", "NaN", "Infinity", "1,000", "1.2.3", "0x1", "1e", "--1", " 1"]
        {
            assert_eq!(Sum::from_text(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_number_with_more_than_28_digits_before_the_point_is_not_read() {
        assert!(Sum::from_text("9999999999999999999999999999").is_some());
        assert_eq!(Sum::from_text("10000000000000000000000000000"), None);
        assert_eq!(Sum::from_text("1e400"), None);
        assert_eq!(decimal("1e-400"), "0");
    }

    #[test]
    fn ten_dimes_are_exactly_one_dollar() {
        assert_eq!(sum_of(["0.1"; 10]).to_decimal(), Some(Decimal::ONE));
    }

    #[test]
    fn digits_a_decimal_would_round_away_are_kept_until_the_end() {
        // 28 significant digits cannot hold the first sum, but they can hold the last.
        let sum = sum_of(["10000000000000", "0.12345678901234567", "-10000000000000"]);
        assert_eq!(sum.to_decimal().unwrap().to_string(), "0.12345678901234567");
    }

    #[test]
    fn a_sum_that_no_decimal_can_hold_is_rounded_once() {
        let sum = sum_of(["9999999999999", "0.99999999999999999"]);
        assert_eq!(sum.to_decimal().unwrap().to_string(), "10000000000000");
        let negative = sum_of(["-1000000000000", "-0.123456789012345678"]);
        assert_eq!(negative.to_decimal().unwrap().to_string(), "-1000000000000.1234567890123457");
    }

    #[test]
    fn a_sum_too_large_for_a_decimal_is_none() {
        let largest = "9999999999999999999999999999";
        assert!(sum_of([largest; 7]).to_decimal().is_some());
        assert_eq!(sum_of([largest; 8]).to_decimal(), None);
    }

    proptest! {
        #[test]
        fn a_decimal_survives_the_way_through_a_sum(mantissa in any::<i64>(), scale in 0_u32..=28) {
            let decimal = Decimal::new(mantissa, scale);
            prop_assert_eq!(Sum::from(decimal).to_decimal(), Some(decimal));
            prop_assert_eq!(Sum::from_text(&decimal.to_string()), Some(Sum::from(decimal)));
        }

        #[test]
        fn cents_add_up_like_whole_numbers(cents in prop::collection::vec(any::<i32>(), 0..200)) {
            let texts: Vec<_> = cents.iter().map(|&cents| Decimal::new(cents.into(), 2).to_string()).collect();
            let total: i64 = cents.iter().map(|&cents| i64::from(cents)).sum();
            let sum = sum_of(texts.iter().map(String::as_str));
            prop_assert_eq!(sum.to_decimal(), Some(Decimal::new(total, 2)));
        }

        #[test]
        fn the_order_does_not_matter(
            values in prop::collection::vec((any::<i64>(), 0_u32..=28), 1..50),
        ) {
            let sums: Vec<_> = values.iter().map(|&(m, scale)| Sum::from(Decimal::new(m, scale))).collect();
            let add = |total: Sum, next: &Sum| total.checked_add(*next).unwrap();
            prop_assert_eq!(
                sums.iter().fold(Sum::default(), add),
                sums.iter().rev().fold(Sum::default(), add)
            );
        }
    }
}
