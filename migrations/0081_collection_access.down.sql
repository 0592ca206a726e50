-- Takes away what 0081_collection_access.up.sql made.

set local lock_timeout = '10s';

drop index report_data_collections_waiting;

alter table report_data_collections
    drop constraint only_the_auto_paused_wait_for_a_resource,
    drop column paused_for;

comment on column report_data_collections.auto_paused is 'Whether the engine paused it by itself, because too many weeks failed.';
