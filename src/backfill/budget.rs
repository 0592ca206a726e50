//! How many weeks of a collection may fail before it is paused, and the sentence that says so.

use crate::store::collections::Collection;

/// Why a collection is to be paused, when its budget of failed weeks is spent: what happened, what the
/// last one said, and the remedy. `failures` counts those since it began or last went on, of so many `weeks`
/// that are asked for.
pub fn spent(
    collection: &Collection,
    (failures, weeks): (i32, i64),
    last_said: &str,
) -> Option<String> {
    let share = |percent: i32| i64::from(failures) * 100 >= i64::from(percent) * weeks;
    let budget = match (collection.max_failed_weeks, collection.max_failed_percent) {
        (Some(most), _) if failures >= most => most.to_string(),
        (_, Some(percent)) if share(percent) => format!("{percent} %"),
        _ => return None,
    };
    let id = &collection.collection_id;
    Some(format!(
        "{failures} of {weeks} weeks failed, the budget is {budget}; the last one said: {last_said}: \
         mend it, then run `recomamp collections retry {id}`, or `recomamp collections resume {id}` to go on without them"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::collections::{CollectionGrain, CollectionKind, CollectionStatus, FeedOrder};
    use crate::store::{CollectionUuid, InstanceUuid, UserId, VersionId};
    use chrono::{DateTime, NaiveDate};

    fn collection(most: Option<i32>, percent: Option<i32>) -> Collection {
        Collection {
            id: CollectionUuid::fresh(),
            collection_id: "campaigns-1".to_owned(),
            name: "Campaigns".to_owned(),
            workflow_version_id: VersionId::fresh(),
            instance_id: InstanceUuid::fresh(),
            user_id: UserId::fresh(),
            kind: CollectionKind::Backfill,
            grain: CollectionGrain::Week,
            period_start: NaiveDate::MIN,
            period_end: NaiveDate::MAX,
            target_weeks: 520,
            timezone: "UTC".to_owned(),
            lag_days: 14,
            week_starts_on: 1,
            parameters: serde_json::json!({}),
            max_attempts_per_week: 5,
            status: CollectionStatus::Running,
            feed_order: FeedOrder::OldestFirst,
            max_queued_weeks: 20,
            max_failed_weeks: most,
            max_failed_percent: percent,
            failures: 0,
            pause_reason: None,
            paused_at: None,
            paused_by: None,
            auto_paused: false,
            paused_for: None,
            resume_at: None,
            last_error: None,
            started_at: None,
            finished_at: None,
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_number_or_the_share_spends_the_budget_whichever_comes_first() {
        let spends = |weeks, most, percent| {
            let collection = collection(most, percent);
            let spent = |failures| spent(&collection, (failures, weeks), "no").is_some();
            (1..=520).find(|failures| spent(*failures))
        };
        assert_eq!(spends(52, Some(3), None), Some(3));
        assert_eq!(spends(52, None, Some(10)), Some(6));
        assert_eq!(spends(52, Some(9), Some(10)), Some(6));
        assert_eq!(spends(520, Some(9), Some(10)), Some(9));
        assert_eq!(spends(52, None, None), None);
    }

    #[test]
    fn the_sentence_says_how_many_why_and_what_to_do() {
        let collection = collection(Some(3), None);
        let said = spent(&collection, (3, 52), "Internal error").expect("it is spent");
        assert!(said.starts_with(
            "3 of 52 weeks failed, the budget is 3; the last one said: Internal error: mend it"
        ));
        assert!(said.contains("`recomamp collections retry campaigns-1`"));
    }
}
