-- Takes away what 0043_collection_pause.up.sql made.

set local lock_timeout = '10s';

drop index report_data_collections_resuming;

comment on column report_data_collections.last_error is 'What last went wrong, or why it is paused, in one sentence.';

alter table report_data_collections
    drop constraint only_the_paused_resume,
    drop constraint paused_exactly_with_a_reason,
    drop column paced_from,
    drop column resume_at,
    drop column auto_paused,
    drop column paused_by,
    drop column paused_at,
    drop column pause_reason;
