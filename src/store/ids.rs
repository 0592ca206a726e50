//! The ids of our own rows, one type for each table, so that none is taken for another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type,
        )]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// An id that no row has yet. Later ids sort after earlier ones, which keeps indexes compact.
            pub fn fresh() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    )*};
}

ids! {
    /// A row of `users`.
    UserId;
    /// A row of `amc_accounts`; Amazon's own id of the account is the text `account_id`.
    AccountUuid;
    /// A row of `amc_instances`; AMC's own id of the instance is the text `instance_id`.
    InstanceUuid;
    /// A row of `workflows`; the public id is the text `workflow_id`.
    WorkflowUuid;
    /// A row of `workflow_versions`.
    VersionId;
    /// A row of `workflow_schedules`; the public id is the text `schedule_id`.
    ScheduleUuid;
    /// A row of `schedule_runs`.
    ScheduleRunUuid;
    /// A row of `report_data_collections`; the public id is the text `collection_id`.
    CollectionUuid;
    /// A row of `collection_plans`; the public id is the text `plan_id`.
    PlanUuid;
    /// A row of `batch_executions`; the public id is the text `batch_id`.
    BatchUuid;
    /// A row of `batch_members`.
    BatchMemberId;
    /// A row of `report_data_weeks`.
    WeekId;
    /// A row of `workflow_executions`; AMC's own id of the execution is the text `amc_execution_id`.
    ExecutionUuid;
    /// A row of `webhooks`.
    WebhookId;
    /// A row of `webhook_deliveries`.
    DeliveryId;
}
