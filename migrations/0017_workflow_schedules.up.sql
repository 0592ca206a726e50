-- What runs by itself, and when.

create type schedule_type as enum (
    'cron',     -- at the times of cron_expression
    'interval'  -- every interval_days, counted from anchor_date
);
create type schedule_status as enum (
    'active',      -- fires when it is due
    'paused',      -- stopped by a person
    'auto_paused'  -- stopped by the engine after too many failed runs
);
create type window_anchor as enum (
    'day',   -- the window ends with a day
    'week',  -- the window ends with a week
    'month'  -- the window ends with a month
);
create type catch_up as enum (
    'none',    -- times that passed unseen stay unfired
    'latest',  -- the last of them fires once
    'all'      -- each of them fires, up to catch_up_max
);

comment on type schedule_type is 'How a schedule says when it is due.';
comment on type schedule_status is 'Whether a schedule fires, and who stopped it.';
comment on type window_anchor is 'With what a scheduled run''s window ends.';
comment on type catch_up is 'What happens to the times that passed while nothing could fire.';

create table workflow_schedules (
    id                    uuid primary key default gen_random_uuid(),
    schedule_id           text not null unique,
    workflow_id           uuid not null references workflows (id) on delete restrict,
    user_id               uuid not null references users (id) on delete restrict,
    name                  text not null,
    description           text,
    schedule_type         schedule_type not null default 'cron',
    cron_expression       text,
    interval_days         int,
    anchor_date           date,
    timezone              text not null default 'UTC',
    parameters            jsonb not null default '{}',
    lookback_days         int not null default 7,
    lag_days              int not null default 14,
    window_anchor         window_anchor not null default 'day',
    catch_up              catch_up not null default 'latest',
    catch_up_max          int not null default 10,
    status                schedule_status not null default 'active',
    pause_reason          text,
    paused_at             timestamptz,
    auto_pause_on_failure boolean not null default true,
    failure_threshold     int not null default 3,
    consecutive_failures  int not null default 0,
    notification_config   jsonb,
    last_run_at           timestamptz,
    next_run_at           timestamptz,
    created_at            timestamptz not null default now(),
    updated_at            timestamptz not null default now(),

    constraint due_by_cron_or_by_interval check (
        case schedule_type
            when 'cron' then cron_expression is not null and interval_days is null and anchor_date is null
            else cron_expression is null and interval_days > 0 and anchor_date is not null
        end
    ),
    constraint lookback_days_is_sane check (lookback_days between 1 and 365),
    constraint lag_days_covers_amcs_own check (lag_days >= 2),
    constraint catch_up_max_is_positive check (catch_up_max > 0),
    constraint failure_threshold_is_positive check (failure_threshold > 0),
    constraint consecutive_failures_is_not_negative check (consecutive_failures >= 0),
    constraint paused_with_reason_and_time check (
        (status = 'active') = (paused_at is null) and (status = 'active') = (pause_reason is null)
    ),
    constraint only_the_active_are_due check (status = 'active' or next_run_at is null)
);

comment on table workflow_schedules is 'Schedules: when a workflow runs by itself.';
comment on column workflow_schedules.id is 'Names the schedule here.';
comment on column workflow_schedules.schedule_id is 'Names the schedule for people and programs.';
comment on column workflow_schedules.workflow_id is 'The workflow it runs, in its current version.';
comment on column workflow_schedules.user_id is 'In whose name it runs.';
comment on column workflow_schedules.name is 'What to call it on a page.';
comment on column workflow_schedules.description is 'What it is for.';
comment on column workflow_schedules.schedule_type is 'How it says when it is due.';
comment on column workflow_schedules.cron_expression is 'Five fields, Sunday 0 or 7, Monday 1; null for an interval.';
comment on column workflow_schedules.interval_days is 'Days from one run to the next; null for cron.';
comment on column workflow_schedules.anchor_date is 'The day from which the interval counts; null for cron.';
comment on column workflow_schedules.timezone is 'The IANA zone in which it is due, and of its windows.';
comment on column workflow_schedules.parameters is 'The values of the workflow''s parameters.';
comment on column workflow_schedules.lookback_days is 'How many days a window has.';
comment on column workflow_schedules.lag_days is 'How many days before the run a window ends at the latest.';
comment on column workflow_schedules.window_anchor is 'With what a window ends.';
comment on column workflow_schedules.catch_up is 'What happens to the times that passed while nothing could fire.';
comment on column workflow_schedules.catch_up_max is 'How many of them fire at most.';
comment on column workflow_schedules.status is 'Whether it fires, and who stopped it.';
comment on column workflow_schedules.pause_reason is 'Why it does not fire, in one sentence.';
comment on column workflow_schedules.paused_at is 'Since when it does not fire.';
comment on column workflow_schedules.auto_pause_on_failure is 'Whether too many failed runs pause it.';
comment on column workflow_schedules.failure_threshold is 'How many failed runs in a row are too many.';
comment on column workflow_schedules.consecutive_failures is 'Failed runs since the last that succeeded.';
comment on column workflow_schedules.notification_config is 'Whom to tell what, and how.';
comment on column workflow_schedules.last_run_at is 'When it last fired.';
comment on column workflow_schedules.next_run_at is 'When it is due; null while it does not fire.';
comment on column workflow_schedules.created_at is 'When the row was made.';
comment on column workflow_schedules.updated_at is 'When the row last changed.';

-- Serves the scheduler.
create index workflow_schedules_due on workflow_schedules (next_run_at) where status = 'active';
create index workflow_schedules_of_workflow on workflow_schedules (workflow_id);

create trigger set_updated_at before update on workflow_schedules for each row execute function set_updated_at();
