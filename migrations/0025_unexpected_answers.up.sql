-- Answers of Amazon that nobody expected, kept so that a person can read them.

create table unexpected_answers (
    id           bigint generated always as identity primary key,
    execution_id uuid references workflow_executions (id) on delete restrict,
    operation    text not null,
    http_status  int,
    body         text not null,
    seen_at      timestamptz not null,

    constraint body_is_capped check (octet_length(body) <= 16384)
);

comment on table unexpected_answers is 'Answers that nobody expected.';
comment on column unexpected_answers.id is 'Names the answer here.';
comment on column unexpected_answers.execution_id is 'The execution it was about; null when about none.';
comment on column unexpected_answers.operation is 'What was asked, such as get_execution.';
comment on column unexpected_answers.http_status is 'The status it came with; null when it came as no answer at all.';
comment on column unexpected_answers.body is 'What it said, or the first 16 KiB of it.';
comment on column unexpected_answers.seen_at is 'When it came.';

create index unexpected_answers_by_age on unexpected_answers (seen_at);
create index unexpected_answers_of_execution on unexpected_answers (execution_id) where execution_id is not null;

create trigger refuse_update before update on unexpected_answers for each row execute function refuse_change();
