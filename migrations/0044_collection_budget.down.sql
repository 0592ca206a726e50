-- Takes away what 0044_collection_budget.up.sql made.

set local lock_timeout = '10s';

alter table report_data_collections
    drop column failures,
    drop column max_failed_percent,
    drop column max_failed_weeks;
