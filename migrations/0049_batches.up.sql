-- Batches: one workflow run once on many instances, over one window.

set local lock_timeout = '10s';

create table batch_executions (
    id                  uuid primary key default gen_random_uuid(),
    batch_id            text not null unique,
    name                text not null,
    workflow_version_id uuid not null references workflow_versions (id) on delete restrict,
    user_id             uuid not null references users (id) on delete restrict,
    parameters          jsonb not null default '{}',
    window_start        date not null,
    window_end          date not null,
    window_tz           text not null,
    max_attempts        int not null default 5,
    status              collection_status not null default 'pending',
    asked_by            text not null,
    started_at          timestamptz,
    finished_at         timestamptz,
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now(),

    constraint parameters_is_an_object check (jsonb_typeof(parameters) = 'object'),
    constraint window_is_not_empty check (window_end > window_start),
    constraint max_attempts_is_positive check (max_attempts > 0),
    constraint finished_exactly_when_final
        check ((status in ('pending', 'running', 'paused')) = (finished_at is null))
);

comment on table batch_executions is 'Batches: one workflow run once on many instances.';
comment on column batch_executions.id is 'Names the batch here.';
comment on column batch_executions.batch_id is 'Names the batch for people and programs.';
comment on column batch_executions.name is 'What to call it on a page.';
comment on column batch_executions.workflow_version_id is 'What every member runs.';
comment on column batch_executions.user_id is 'In whose name every member runs.';
comment on column batch_executions.parameters is 'The values of the workflow''s parameters that all members share.';
comment on column batch_executions.window_start is 'The first day of the window.';
comment on column batch_executions.window_end is 'The first day after the window.';
comment on column batch_executions.window_tz is 'The IANA zone in which its days begin.';
comment on column batch_executions.max_attempts is 'How many executions a member may spend before it is failed.';
comment on column batch_executions.status is 'Where it stands, in the words of collections.';
comment on column batch_executions.asked_by is 'Who asked for it.';
comment on column batch_executions.started_at is 'When its first member began.';
comment on column batch_executions.finished_at is 'When its last member ended.';
comment on column batch_executions.created_at is 'When the row was made.';
comment on column batch_executions.updated_at is 'When the row last changed.';

create index batch_executions_by_age on batch_executions (created_at desc);

create trigger set_updated_at before update on batch_executions for each row execute function set_updated_at();

create table batch_members (
    id            uuid primary key default gen_random_uuid(),
    batch_id      uuid not null references batch_executions (id) on delete restrict,
    instance_id   uuid not null references amc_instances (id) on delete restrict,
    parameters    jsonb not null default '{}',
    status        week_status not null default 'pending',
    attempts      int not null default 0,
    row_count     bigint,
    data_checksum bytea,
    error_message text,
    started_at    timestamptz,
    completed_at  timestamptz,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),

    constraint batch_members_instance_id_key unique (batch_id, instance_id),
    constraint parameters_is_an_object check (jsonb_typeof(parameters) = 'object'),
    constraint attempts_is_not_negative check (attempts >= 0),
    constraint succeeded_exactly_with_data
        check ((status = 'succeeded') = (row_count is not null and data_checksum is not null)),
    constraint completed_exactly_when_final
        check ((status in ('pending', 'running', 'blocked')) = (completed_at is null)),
    constraint trouble_has_a_message check (status not in ('failed', 'blocked') or error_message is not null)
);

comment on table batch_members is 'Members of a batch: its workflow on one instance.';
comment on column batch_members.id is 'Names the member here.';
comment on column batch_members.batch_id is 'The batch it is a member of.';
comment on column batch_members.instance_id is 'Where it runs.';
comment on column batch_members.parameters is 'All values of the workflow''s parameters: those of the batch, and this instance''s own in their place.';
comment on column batch_members.status is 'Where it stands, in the words of weeks.';
comment on column batch_members.attempts is 'How many executions it has had since it was asked for, or since it was last retried.';
comment on column batch_members.row_count is 'Rows in its result; 0 is a success.';
comment on column batch_members.data_checksum is 'The sha256 of its rows.';
comment on column batch_members.error_message is 'Why it failed, was cancelled or is blocked.';
comment on column batch_members.started_at is 'When its first attempt began.';
comment on column batch_members.completed_at is 'When it ended.';
comment on column batch_members.created_at is 'When the row was made.';
comment on column batch_members.updated_at is 'When the row last changed.';

-- Serves whoever lets an instance go on, and the net under members that nobody works on.
create index batch_members_unfinished on batch_members (instance_id)
    where status in ('pending', 'running', 'blocked');

create trigger set_updated_at before update on batch_members for each row execute function set_updated_at();

alter table workflow_executions
    add column batch_member_id uuid references batch_members (id) on delete restrict,
    add constraint member_exactly_for_a_batch check ((origin = 'batch') = (batch_member_id is not null));

comment on column workflow_executions.batch_member_id is 'The member of a batch it belongs to; null when no batch asked for it.';

-- A member never has two executions under way, and counts each of them once.
create unique index workflow_executions_one_per_member on workflow_executions (batch_member_id)
    where batch_member_id is not null
      and status in ('queued', 'submitting', 'submit_unknown', 'pending', 'running', 'fetching');
create unique index workflow_executions_member_attempt on workflow_executions (batch_member_id, attempt)
    where batch_member_id is not null;
