-- A collection whose user Amazon does not let in stops until it does.

set local lock_timeout = '10s';

alter table report_data_collections
    add column paused_for text,
    add constraint only_the_auto_paused_wait_for_a_resource check (auto_paused or paused_for is null);

comment on column report_data_collections.paused_for is 'The resource whose opening lets it go on by itself, such as a user''s credential; null when none does.';
comment on column report_data_collections.auto_paused is 'Whether the engine paused it by itself: too many weeks failed, or Amazon refuses the user''s credential.';

-- Serves whoever opens a resource.
create index report_data_collections_waiting on report_data_collections (paused_for) where paused_for is not null;
