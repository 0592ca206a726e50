-- Why a collection is paused, who did it, and when it goes on.

set local lock_timeout = '10s';

alter table report_data_collections
    add column pause_reason text,
    add column paused_at timestamptz,
    add column paused_by text,
    add column auto_paused boolean not null default false,
    add column resume_at timestamptz,
    add column paced_from timestamptz;

update report_data_collections
set paced_from = started_at,
    pause_reason = case when status = 'paused' then coalesce(last_error, 'nobody said why') end,
    paused_at = case when status = 'paused' then updated_at end,
    paused_by = case when status = 'paused' then 'somebody' end;

alter table report_data_collections
    add constraint paused_exactly_with_a_reason check (
        (status = 'paused') = (pause_reason is not null and paused_at is not null and paused_by is not null)
    ),
    add constraint only_the_paused_resume check (status = 'paused' or (resume_at is null and not auto_paused));

comment on column report_data_collections.pause_reason is 'Why it is paused, and what to do about it, in one sentence.';
comment on column report_data_collections.paused_at is 'Since when it is paused.';
comment on column report_data_collections.paused_by is 'Who paused it: a person, a program, or the engine.';
comment on column report_data_collections.auto_paused is 'Whether the engine paused it by itself, because too many weeks failed.';
comment on column report_data_collections.resume_at is 'When it goes on by itself; null when it does not.';
comment on column report_data_collections.paced_from is 'Since when its pace is measured: since its first week began, or since it last went on.';
comment on column report_data_collections.last_error is 'What last went wrong, in one sentence.';

-- Serves those that go on at a time of their own.
create index report_data_collections_resuming on report_data_collections (resume_at) where resume_at is not null;
