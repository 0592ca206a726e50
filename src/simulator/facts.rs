//! What the simulated advertisers sold: closed formulas, so that every total can be checked.
//!
//! A row is a pure function of (seed, instance, dates, campaign), in whole numbers and exact
//! decimals. Whoever knows the seed can compute what a backfill has to add up to without asking
//! the simulator, and without trusting it.

use super::dice;
use chrono::{Datelike, Days, NaiveDate};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// How busy each day of the week is, Monday first, in per cent.
const WEEKDAY: [i64; 7] = [100, 96, 95, 98, 110, 130, 121];

/// Names as advertisers write them: commas, quotes and every alphabet.
const NAMES: [&str; 12] = [
    r#"Brand, core "exact" terms"#,
    "Herbst-Aktion – Küche & Bad",
    r#"冬のセール, "限定""#,
    "Généric; été",
    "Prime Day (retarget), US",
    r#""Quoted" from start to "end""#,
    "Zażółć gęślą jaźń",
    "Competitor ASINs, tier 1",
    "Новый год",
    "Subscribe & Save | 10% off",
    "Auto, close match",
    "Long tail",
];

const PRODUCTS: [&str; 4] = ["sponsored_products", "sponsored_brands", "sponsored_display", "dsp"];

/// The numbers of one simulated AMC instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The simulator's seed.
    pub seed: u64,
    /// AMC's text id of the instance.
    pub instance: String,
    /// How many campaigns ran; each gives one row per result.
    pub campaigns: u32,
}

/// One row of a result file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Nineteen digits: too many for a float.
    pub campaign_id: i64,
    /// The campaign's name.
    pub campaign: String,
    /// `sponsored_products`, `sponsored_brands`, `sponsored_display` or `dsp`.
    pub ad_product_type: String,
    /// The metrics; `None` when AMC suppresses them, because too few people stand behind the row.
    pub metrics: Option<Metrics>,
}

/// What is additive in a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// Ads shown.
    pub impressions: i64,
    /// Ads clicked.
    pub clicks: i64,
    /// Purchases.
    pub conversions: i64,
    /// Units in those purchases.
    pub units_sold: i64,
    /// Cost, four decimal places.
    pub spend: Decimal,
    /// Revenue, two decimal places.
    pub sales: Decimal,
    /// Purchases by people new to the brand.
    pub new_to_brand: i64,
}

/// What a run of weeks adds up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Rows, the suppressed ones included.
    pub rows: i64,
    /// Rows whose metrics are suppressed: unknown, not zero.
    pub suppressed_rows: i64,
    /// The sum of all metrics that are not suppressed.
    pub metrics: Metrics,
}

impl Facts {
    /// The facts of `instance` under `seed`.
    pub fn new(seed: u64, instance: impl Into<String>, campaigns: u32) -> Self {
        Self { seed, instance: instance.into(), campaigns }
    }

    /// The row of one campaign (counted from zero) over the days from `start` up to, not
    /// including, `end`.
    pub fn row(&self, start: NaiveDate, end: NaiveDate, campaign: u32) -> Row {
        let mut metrics = Metrics::default();
        for day in start.iter_days().take_while(|day| *day < end) {
            metrics += &self.day(day, campaign);
        }
        let suppressed = self.is_suppressed(start, campaign);
        Row {
            campaign_id: self.campaign_id(campaign),
            campaign: name(campaign),
            ad_product_type: PRODUCTS[index(campaign, PRODUCTS.len())].to_owned(),
            metrics: (!suppressed).then_some(metrics),
        }
    }

    /// All rows of one window, in the order of the result files.
    pub fn rows(&self, start: NaiveDate, end: NaiveDate) -> Vec<Row> {
        (0..self.campaigns).map(|campaign| self.row(start, end, campaign)).collect()
    }

    /// What `weeks` weeks, the first beginning on `first`, add up to when each is collected by
    /// itself.
    pub fn totals(&self, first: NaiveDate, weeks: u32) -> Totals {
        let mut totals = Totals::default();
        for week in 0..u64::from(weeks) {
            let start = first + Days::new(7 * week);
            for row in self.rows(start, start + Days::new(7)) {
                totals += &row;
            }
        }
        totals
    }

    /// In one window of four the last campaign reaches too few people to be shown.
    fn is_suppressed(&self, start: NaiveDate, campaign: u32) -> bool {
        campaign + 1 == self.campaigns && self.roll(4, &[date(start), 9]) == 0
    }

    fn day(&self, day: NaiveDate, campaign: u32) -> Metrics {
        let roll =
            |salt: u64, limit: u32| self.roll(limit, &[date(day), u64::from(campaign), salt]);
        let weekday = usize::try_from(day.weekday().num_days_from_monday()).expect("at most six");
        let impressions = (800 + 150 * i64::from(campaign) + roll(1, 700)) * WEEKDAY[weekday] / 100;
        let clicks = impressions * (6 + roll(2, 14)) / 1000;
        let conversions = clicks * (4 + roll(3, 16)) / 100;
        let units_sold = conversions + conversions * roll(4, 50) / 100;
        Metrics {
            impressions,
            clicks,
            conversions,
            units_sold,
            spend: Decimal::new(clicks * (3_500 + roll(5, 9_000)) + roll(6, 10_000), 4),
            sales: Decimal::new(units_sold * (1_299 + roll(7, 4_000)), 2),
            new_to_brand: conversions * (20 + roll(8, 50)) / 100,
        }
    }

    fn campaign_id(&self, campaign: u32) -> i64 {
        let digits = dice::mix(&[self.seed, dice::text(&self.instance)]) % 8_000_000_000_000_000;
        let digits = i64::try_from(digits).expect("below 2^53");
        1_000_000_000_000_000_000 + digits * 1_000 + i64::from(campaign)
    }

    fn roll(&self, limit: u32, parts: &[u64]) -> i64 {
        let place = dice::mix(&[self.seed, dice::text(&self.instance), dice::mix(parts)]);
        i64::from(dice::below(limit, &[place]))
    }
}

impl AddAssign<&Metrics> for Metrics {
    fn add_assign(&mut self, other: &Metrics) {
        self.impressions += other.impressions;
        self.clicks += other.clicks;
        self.conversions += other.conversions;
        self.units_sold += other.units_sold;
        self.spend += other.spend;
        self.sales += other.sales;
        self.new_to_brand += other.new_to_brand;
    }
}

impl AddAssign<&Row> for Totals {
    fn add_assign(&mut self, row: &Row) {
        self.rows += 1;
        match &row.metrics {
            Some(metrics) => self.metrics += metrics,
            None => self.suppressed_rows += 1,
        }
    }
}

fn name(campaign: u32) -> String {
    let name = NAMES[index(campaign, NAMES.len())];
    match usize::try_from(campaign).unwrap_or(usize::MAX) / NAMES.len() {
        0 => name.to_owned(),
        round => format!("{name} #{}", round + 1),
    }
}

fn index(campaign: u32, len: usize) -> usize {
    usize::try_from(campaign).unwrap_or(0) % len
}

fn date(day: NaiveDate) -> u64 {
    u64::try_from(day.num_days_from_ce()).expect("AMC has no data from before year one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn monday() -> NaiveDate {
        NaiveDate::from_ymd_opt(2025, 1, 6).expect("a real date")
    }

    #[test]
    fn the_totals_of_a_year_are_the_sums_of_its_weeks() {
        let facts = Facts::new(7, "amcdemous01", 12);
        let mut sum = Totals::default();
        for week in 0..52 {
            let one = facts.totals(monday() + Days::new(7 * week), 1);
            sum.rows += one.rows;
            sum.suppressed_rows += one.suppressed_rows;
            sum.metrics += &one.metrics;
        }
        assert_eq!(sum, facts.totals(monday(), 52));
        assert_eq!(sum.rows, 52 * 12);
    }

    #[test]
    fn some_weeks_suppress_the_last_campaign_and_most_do_not() {
        let suppressed = Facts::new(1, "amcdemous01", 12).totals(monday(), 52).suppressed_rows;
        assert!((5..=25).contains(&suppressed), "{suppressed} of 52 weeks");
    }

    #[test]
    fn ids_have_nineteen_digits_and_differ() {
        let rows = Facts::new(1, "amcdemous01", 30).rows(monday(), monday() + Days::new(7));
        let ids: std::collections::BTreeSet<String> =
            rows.iter().map(|row| row.campaign_id.to_string()).collect();
        assert_eq!(ids.len(), 30);
        assert!(ids.iter().all(|id| id.len() == 19));
        assert_eq!(rows[12].campaign, format!("{} #2", NAMES[0]));
    }

    #[test]
    fn two_instances_and_two_seeds_have_different_numbers() {
        let totals = |seed, instance| Facts::new(seed, instance, 12).totals(monday(), 1);
        assert_ne!(totals(1, "amcdemous01"), totals(1, "amcdemous02"));
        assert_ne!(totals(1, "amcdemous01"), totals(2, "amcdemous01"));
    }

    proptest! {
        #[test]
        fn a_row_is_plausible(seed: u64, week in 0u64..500, campaign in 0u32..11) {
            let start = monday() + Days::new(7 * week);
            let row = Facts::new(seed, "amcdemous01", 12).row(start, start + Days::new(7), campaign);
            let metrics = row.metrics.expect("only the last campaign is ever suppressed");
            prop_assert!(metrics.clicks <= metrics.impressions);
            prop_assert!(metrics.conversions <= metrics.clicks);
            prop_assert!(metrics.new_to_brand <= metrics.conversions);
            prop_assert!(metrics.units_sold >= metrics.conversions);
            prop_assert!(metrics.spend > Decimal::ZERO && metrics.spend.scale() == 4);
        }
    }
}
