-- Takes away what 0048_known_slices.up.sql made.

set local lock_timeout = '10s';

create index report_data_weeks_slice on report_data_weeks (slice_key) where status in ('running', 'succeeded');
drop index report_data_weeks_known;
alter table report_data_collections drop column reuse_after;
