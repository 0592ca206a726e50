-- Every request that may have started an execution at AMC, written down before it is sent.

create type submit_outcome as enum (
    'accepted',          -- AMC said it took it
    'refused',           -- AMC said it did not
    'unknown',           -- no answer, or none that says
    'reconciled_found',  -- unknown at first, then found at AMC
    'reconciled_absent'  -- unknown at first, then proven not to be at AMC
);

comment on type submit_outcome is 'What is known of a request.';

create table submit_attempts (
    execution_id uuid not null references workflow_executions (id) on delete restrict,
    n            int not null,
    client_ref   text not null unique,
    started_at   timestamptz not null,
    ended_at     timestamptz,
    outcome      submit_outcome,
    http_status  int,
    request_id   text,
    detail       text,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),

    primary key (execution_id, n),
    constraint n_is_positive check (n > 0),
    constraint ended_exactly_with_an_outcome check ((ended_at is null) = (outcome is null)),
    constraint http_status_is_one check (http_status between 100 and 599)
);

comment on table submit_attempts is 'The requests that may have started an execution at AMC.';
comment on column submit_attempts.execution_id is 'The execution it was for.';
comment on column submit_attempts.n is 'Counts the requests of one execution from 1.';
comment on column submit_attempts.client_ref is 'What we called the execution in it.';
comment on column submit_attempts.started_at is 'When the intent was written down.';
comment on column submit_attempts.ended_at is 'When the outcome was last learned; null while it may be on the wire.';
comment on column submit_attempts.outcome is 'What is known of it.';
comment on column submit_attempts.http_status is 'The status of the answer; null when there was none.';
comment on column submit_attempts.request_id is 'Amazon''s x-amzn-RequestId of the answer.';
comment on column submit_attempts.detail is 'What the answer or the trouble said.';
comment on column submit_attempts.created_at is 'When the row was made.';
comment on column submit_attempts.updated_at is 'When the row last changed.';

create trigger set_updated_at before update on submit_attempts for each row execute function set_updated_at();
