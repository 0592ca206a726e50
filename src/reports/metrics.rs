//! Sums of additive metrics, the ratios drawn from them, and what changed between two.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::sum::Sum;

/// Digits after the point of a ratio or a change in percent.
const RATIO_PLACES: u32 = 6;

/// Exact sums by metric, in the order of the names; in JSON the sums are decimal strings.
///
/// A metric whose every value was suppressed is not in the map: nobody knows its sum, and zero
/// would be a lie.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metrics(BTreeMap<String, Decimal>);

/// A sum needs more digits than a [`Decimal`] has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the sum of {metric} has more than 28 digits: check the unit the query uses for it")]
pub struct TooLarge {
    /// The metric.
    pub metric: String,
}

impl Metrics {
    /// The sum of one metric, if it is known.
    pub fn get(&self, metric: &str) -> Option<Decimal> {
        self.0.get(metric).copied()
    }

    /// All metrics in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Decimal)> {
        self.0.iter().map(|(name, sum)| (name.as_str(), *sum))
    }

    /// Whether there is no metric at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds up, metric by metric; the order does not matter.
    ///
    /// A metric that some of the parts do not have is the sum of those that have it.
    pub fn total<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Result<Self, TooLarge> {
        let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
        for (name, value) in parts.into_iter().flat_map(Self::iter) {
            let sum = sums.entry(name).or_default();
            *sum = sum.checked_add(value.into()).ok_or_else(|| TooLarge::of(name))?;
        }
        sums.into_iter().map(|(name, sum)| to_entry(name, sum)).collect()
    }

    /// The ratios these sums give.
    pub fn ratios(&self) -> Ratios {
        let ratio = |above, factor: i64, below| {
            ratio(self.get(above)?.checked_mul(factor.into())?, self.get(below)?)
        };
        Ratios {
            ctr: ratio("clicks", 100, "impressions"),
            cvr: ratio("conversions", 100, "clicks"),
            acos: ratio("spend", 100, "sales"),
            roas: ratio("sales", 1, "spend"),
            cpc: ratio("spend", 1, "clicks"),
            cpm: ratio("spend", 1000, "impressions"),
            units_per_order: ratio("units_sold", 1, "conversions"),
            ntb_percentage: ratio("new_to_brand", 100, "conversions"),
        }
    }
}

/// A finished sum under its name.
pub(super) fn to_entry(name: &str, sum: Sum) -> Result<(String, Decimal), TooLarge> {
    let decimal = sum.to_decimal().ok_or_else(|| TooLarge::of(name))?;
    Ok((name.to_owned(), decimal))
}

impl TooLarge {
    pub(super) fn of(metric: &str) -> Self {
        Self { metric: metric.to_owned() }
    }
}

impl FromIterator<(String, Decimal)> for Metrics {
    fn from_iter<I: IntoIterator<Item = (String, Decimal)>>(sums: I) -> Self {
        Self(sums.into_iter().collect())
    }
}

/// Ratios of sums (never sums or means of ratios), rounded to six places.
///
/// None where a part is not known or the denominator is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ratios {
    /// Click-through rate: clicks per 100 impressions.
    pub ctr: Option<Decimal>,
    /// Conversion rate: conversions per 100 clicks.
    pub cvr: Option<Decimal>,
    /// Advertising cost of sales: spend in percent of sales.
    pub acos: Option<Decimal>,
    /// Return on advertising spend: sales by spend.
    pub roas: Option<Decimal>,
    /// Cost per click, in the unit of spend.
    pub cpc: Option<Decimal>,
    /// Cost per thousand impressions, in the unit of spend.
    pub cpm: Option<Decimal>,
    /// Units sold per conversion.
    pub units_per_order: Option<Decimal>,
    /// New-to-brand conversions per 100 conversions.
    pub ntb_percentage: Option<Decimal>,
}

/// What became of one metric from one period to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Now less then; none where one of them is not known.
    pub difference: Option<Decimal>,
    /// The difference in percent of then; none also where then is zero.
    pub percent: Option<Decimal>,
}

/// How every metric that either has changed from `previous` to `current`.
pub fn changes(previous: &Metrics, current: &Metrics) -> BTreeMap<String, Change> {
    let names: BTreeSet<_> = previous.iter().chain(current.iter()).map(|(name, _)| name).collect();
    names
        .into_iter()
        .map(|name| (name.to_owned(), change(previous.get(name), current.get(name))))
        .collect()
}

fn change(previous: Option<Decimal>, current: Option<Decimal>) -> Change {
    let difference = previous.zip(current).and_then(|(then, now)| now.checked_sub(then));
    let percent = difference.zip(previous).and_then(|(difference, then)| {
        // By the size of what was: a loss that grows is a change downwards.
        ratio(difference.checked_mul(Decimal::ONE_HUNDRED)?, then.abs())
    });
    Change { difference, percent }
}

fn ratio(above: Decimal, below: Decimal) -> Option<Decimal> {
    above.checked_div(below).map(|ratio| ratio.round_dp(RATIO_PLACES).normalize())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metrics(json: serde_json::Value) -> Metrics {
        serde_json::from_value(json).unwrap()
    }

    fn number(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn in_json_the_sums_are_decimal_strings_in_the_order_of_their_names() {
        let text = r#"{"clicks":"9223372036854775807","spend":"12345678901.12345678901234567"}"#;
        let metrics: Metrics = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&metrics).unwrap(), text);
    }

    #[test]
    fn a_total_adds_metric_by_metric() {
        let one = metrics(json!({"spend": "0.1", "clicks": "1"}));
        let other = metrics(json!({"spend": "0.2", "sales": "5"}));
        let expected = metrics(json!({"spend": "0.3", "clicks": "1", "sales": "5"}));
        assert_eq!(Metrics::total([&one, &other]), Ok(expected));
        assert!(Metrics::total([]).unwrap().is_empty());
    }

    #[test]
    fn a_total_that_no_decimal_can_hold_names_its_metric() {
        let half = metrics(json!({"spend": Decimal::MAX.to_string()}));
        assert_eq!(Metrics::total([&half, &half]), Err(TooLarge { metric: "spend".to_owned() }));
    }

    #[test]
    fn ratios_come_from_the_sums() {
        let ratios = metrics(json!({
            "impressions": "40000", "clicks": "300", "conversions": "30", "spend": "120.60",
            "sales": "1000", "units_sold": "45", "new_to_brand": "10",
        }))
        .ratios();
        assert_eq!(ratios.ctr, Some(number("0.75")));
        assert_eq!(ratios.cvr, Some(number("10")));
        assert_eq!(ratios.acos, Some(number("12.06")));
        assert_eq!(ratios.roas, Some(number("8.291874")));
        assert_eq!(ratios.cpc, Some(number("0.402")));
        assert_eq!(ratios.cpm, Some(number("3.015")));
        assert_eq!(ratios.units_per_order, Some(number("1.5")));
        assert_eq!(ratios.ntb_percentage, Some(number("33.333333")));
    }

    #[test]
    fn a_ratio_with_a_zero_or_unknown_denominator_is_none() {
        let ratios = metrics(json!({"clicks": "0", "spend": "5", "impressions": "0"})).ratios();
        assert_eq!(ratios, Ratios::default());
        assert_eq!(serde_json::to_value(ratios).unwrap()["cpc"], json!(null));
    }

    #[test]
    fn a_ratio_with_a_zero_numerator_is_zero() {
        let ratios = metrics(json!({"clicks": "0", "impressions": "10"})).ratios();
        assert_eq!(ratios.ctr, Some(Decimal::ZERO));
    }

    #[test]
    fn a_change_is_in_percent_of_what_was() {
        let previous =
            metrics(json!({"clicks": "200", "refunds": "-10", "sales": "0", "old": "1"}));
        let current = metrics(json!({"clicks": "150", "refunds": "-15", "sales": "7", "new": "1"}));
        let changes = changes(&previous, &current);
        let of = |name: &str| (changes[name].difference, changes[name].percent);
        assert_eq!(of("clicks"), (Some(number("-50")), Some(number("-25"))));
        assert_eq!(of("refunds"), (Some(number("-5")), Some(number("-50"))));
        assert_eq!(of("sales"), (Some(number("7")), None));
        assert_eq!(of("old"), (None, None));
        assert_eq!(of("new"), (None, None));
    }
}
