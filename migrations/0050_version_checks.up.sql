-- Whether AMC can compile a version, asked once for each instance and before anything is run there.

create type check_verdict as enum (
    'waiting',  -- AMC has been asked, or is about to be
    'passed',   -- AMC compiles it
    'failed',   -- AMC does not, and never will
    'skipped'   -- AMC gave no verdict in time: executions go on without one
);

comment on type check_verdict is 'What AMC says of a version.';

create table version_checks (
    workflow_version_id uuid not null references workflow_versions (id) on delete restrict,
    instance_id         uuid not null references amc_instances (id) on delete restrict,
    verdict             check_verdict not null default 'waiting',
    amc_execution_id    text,
    reason              text,
    asked_at            timestamptz not null,
    ended_at            timestamptz,

    primary key (workflow_version_id, instance_id),
    constraint ended_exactly_with_a_verdict check ((verdict = 'waiting') = (ended_at is null)),
    constraint bad_news_has_a_reason check (verdict in ('waiting', 'passed') or reason is not null)
);

comment on table version_checks is 'Whether AMC can compile the versions of workflows: one dry run each.';
comment on column version_checks.workflow_version_id is 'The version.';
comment on column version_checks.instance_id is 'Where it is to run.';
comment on column version_checks.verdict is 'What AMC says of it.';
comment on column version_checks.amc_execution_id is 'AMC''s id of the dry run; null before AMC has taken one.';
comment on column version_checks.reason is 'What AMC said, or why it was not asked.';
comment on column version_checks.asked_at is 'When somebody first needed the verdict.';
comment on column version_checks.ended_at is 'When it came.';
