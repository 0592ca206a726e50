-- What is known of a slice from other collections: whether it was collected, is being collected, or failed.

set local lock_timeout = '10s';

alter table report_data_collections
    add column reuse_after timestamptz;

comment on column report_data_collections.reuse_after is 'Answers that other collections got before this are too old to be taken over; null when any will do.';

-- Serves the search for a slice that another collection has, is about to have, or gave up.
create index report_data_weeks_known on report_data_weeks (slice_key)
    where status in ('running', 'succeeded', 'failed');
drop index report_data_weeks_slice;
