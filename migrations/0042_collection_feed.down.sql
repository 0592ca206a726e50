-- Takes away what 0042_collection_feed.up.sql made.

set local lock_timeout = '10s';

drop index report_data_weeks_next;
drop index report_data_weeks_queued;

alter table report_data_weeks
    drop column attempts_forgiven,
    drop column queued_at,
    drop column turn;

alter table report_data_collections
    drop column max_queued_weeks,
    drop column feed_order;

drop type feed_order;
