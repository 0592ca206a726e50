//! What AMC says about a result's columns, and which of them may be added up.

use serde::{Deserialize, Serialize};

/// The metrics every report knows, all of them additive.
pub const KNOWN_METRICS: [&str; 10] = [
    "impressions",
    "clicks",
    "conversions",
    "spend",
    "sales",
    "units_sold",
    "new_to_brand",
    "new_to_brand_sales",
    "view_through_conversions",
    "click_through_conversions",
];

/// Metrics that are never added up, whatever AMC calls them: ratios are derived from sums, and
/// people who were reached in two weeks must not be counted twice.
pub const NOT_ADDITIVE: [&str; 11] = [
    "ctr",
    "cvr",
    "acos",
    "roas",
    "cpc",
    "cpm",
    "units_per_order",
    "ntb_percentage",
    "reach",
    "frequency",
    "unique_users",
];

const NUMERIC_TYPES: [&str; 9] =
    ["LONG", "INTEGER", "DECIMAL", "DOUBLE", "FLOAT", "BIGINT", "INT", "SHORT", "BYTE"];

const UNKNOWN: &str = "UNKNOWN";

/// One column of a result, as in an execution's `outputColumns`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The name in the header.
    pub name: String,
    /// AMC's word for the type of the values: `LONG`, `DECIMAL`, `STRING`, `TIMESTAMP`…
    pub data_type: String,
    /// AMC's word for the role: `METRIC` or `DIMENSION`.
    pub column_type: String,
}

impl Column {
    /// A column of the header of which AMC said nothing.
    pub fn undeclared(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            data_type: UNKNOWN.to_owned(),
            column_type: UNKNOWN.to_owned(),
        }
    }

    /// Whether the values of this column may be added up over rows and weeks.
    ///
    /// A number in a `DIMENSION` column is an id or a label. A column AMC said nothing about
    /// counts as additive when it has the name of one of the [`KNOWN_METRICS`].
    pub fn is_additive(&self) -> bool {
        if self.data_type == UNKNOWN {
            return KNOWN_METRICS.contains(&self.name.as_str());
        }
        let excluded = NOT_ADDITIVE.iter().any(|name| name.eq_ignore_ascii_case(&self.name));
        self.column_type.eq_ignore_ascii_case("METRIC") && self.is_numeric() && !excluded
    }

    /// Whether the values are numbers: `DECIMAL` and `DECIMAL(38,17)` alike.
    fn is_numeric(&self) -> bool {
        let base = self.data_type.split('(').next().unwrap_or_default().trim();
        NUMERIC_TYPES.iter().any(|numeric| numeric.eq_ignore_ascii_case(base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn additive(name: &str, data_type: &str, column_type: &str) -> bool {
        let column = Column {
            name: name.to_owned(),
            data_type: data_type.to_owned(),
            column_type: column_type.to_owned(),
        };
        column.is_additive()
    }

    #[test]
    fn every_numeric_metric_is_additive_also_one_nobody_has_heard_of() {
        assert!(additive("impressions", "LONG", "METRIC"));
        assert!(additive("total_cost", "DECIMAL(38,17)", "METRIC"));
        assert!(additive("video_completes", "double", "metric"));
    }

    #[test]
    fn ids_and_other_dimensions_are_never_summed_however_numeric() {
        assert!(!additive("campaign_id", "LONG", "DIMENSION"));
        assert!(!additive("impressions", "LONG", "DIMENSION"));
        assert!(!additive("impressions", "STRING", "METRIC"));
        assert!(!additive("day", "DATE", "METRIC"));
    }

    #[test]
    fn ratios_and_people_are_never_summed() {
        for name in ["ctr", "roas", "Reach", "unique_users"] {
            assert!(!additive(name, "DOUBLE", "METRIC"), "{name}");
        }
    }

    #[test]
    fn without_a_word_from_amc_the_known_names_decide() {
        assert!(Column::undeclared("spend").is_additive());
        assert!(!Column::undeclared("campaign_id").is_additive());
    }
}
