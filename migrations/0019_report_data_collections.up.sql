-- Backfills: one query over many weeks.

create type collection_kind as enum (
    'backfill',    -- a range of the past, once
    'incremental'  -- the newest weeks, again and again
);
create type collection_grain as enum (
    'day',   -- a slice is a day
    'week',  -- a slice is seven days
    'month'  -- a slice is a month of the calendar
);
create type collection_status as enum (
    'pending',                -- nothing has begun
    'running',                -- slices are under way
    'paused',                 -- no further slice begins until it is resumed
    'completed',              -- every slice succeeded or was skipped
    'completed_with_errors',  -- some slices succeeded, some did not
    'failed',                 -- no slice succeeded
    'cancelled'               -- stopped by a person
);

comment on type collection_kind is 'What a collection is for.';
comment on type collection_grain is 'How long a slice is.';
comment on type collection_status is 'Where a collection stands.';

create table report_data_collections (
    id                    uuid primary key default gen_random_uuid(),
    collection_id         text not null unique,
    name                  text not null,
    workflow_version_id   uuid not null references workflow_versions (id) on delete restrict,
    instance_id           uuid not null references amc_instances (id) on delete restrict,
    user_id               uuid not null references users (id) on delete restrict,
    kind                  collection_kind not null,
    grain                 collection_grain not null,
    period_start          date not null,
    period_end            date not null,
    target_weeks          int not null,
    timezone              text not null,
    lag_days              int not null default 14,
    week_starts_on        smallint not null default 1,
    parameters            jsonb not null default '{}',
    max_attempts_per_week int not null default 5,
    status                collection_status not null default 'pending',
    last_error            text,
    started_at            timestamptz,
    finished_at           timestamptz,
    created_at            timestamptz not null default now(),
    updated_at            timestamptz not null default now(),

    constraint period_is_not_empty check (period_end > period_start),
    constraint target_weeks_is_positive check (target_weeks > 0),
    constraint lag_days_covers_amcs_own check (lag_days >= 2),
    constraint week_starts_on_is_a_day check (week_starts_on between 1 and 7),
    constraint max_attempts_per_week_is_positive check (max_attempts_per_week > 0),
    constraint parameters_is_an_object check (jsonb_typeof(parameters) = 'object'),
    constraint finished_exactly_when_final
        check ((status in ('pending', 'running', 'paused')) = (finished_at is null))
);

comment on table report_data_collections is 'Collections: one query run over many slices of time.';
comment on column report_data_collections.id is 'Names the collection here.';
comment on column report_data_collections.collection_id is 'Names the collection for people and programs.';
comment on column report_data_collections.name is 'What to call it on a page.';
comment on column report_data_collections.workflow_version_id is 'What every slice runs, the same from the first to the last.';
comment on column report_data_collections.instance_id is 'Where every slice runs.';
comment on column report_data_collections.user_id is 'In whose name every slice runs.';
comment on column report_data_collections.kind is 'What it is for.';
comment on column report_data_collections.grain is 'How long a slice is.';
comment on column report_data_collections.period_start is 'The first day it covers.';
comment on column report_data_collections.period_end is 'The first day after those it covers.';
comment on column report_data_collections.target_weeks is 'How many slices it has.';
comment on column report_data_collections.timezone is 'The IANA zone in which its days begin.';
comment on column report_data_collections.lag_days is 'How many days ago a slice had to have ended when the collection was planned.';
comment on column report_data_collections.week_starts_on is 'The first day of its weeks: 1 is Monday, 7 is Sunday.';
comment on column report_data_collections.parameters is 'The values of the workflow''s parameters.';
comment on column report_data_collections.max_attempts_per_week is 'How many executions a slice may spend before it is failed.';
comment on column report_data_collections.status is 'Where it stands.';
comment on column report_data_collections.last_error is 'What last went wrong, or why it is paused, in one sentence.';
comment on column report_data_collections.started_at is 'When its first slice began.';
comment on column report_data_collections.finished_at is 'When its last slice ended.';
comment on column report_data_collections.created_at is 'When the row was made.';
comment on column report_data_collections.updated_at is 'When the row last changed.';

create index report_data_collections_by_age on report_data_collections (created_at desc);
create index report_data_collections_unfinished on report_data_collections (instance_id)
    where status in ('pending', 'running', 'paused');

create trigger set_updated_at before update on report_data_collections for each row execute function set_updated_at();
