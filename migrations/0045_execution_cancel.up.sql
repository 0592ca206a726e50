-- An execution that nobody wants any more is stopped at AMC too.

set local lock_timeout = '10s';

alter table workflow_executions add column cancel_requested_at timestamptz;

comment on column workflow_executions.cancel_requested_at is 'When somebody asked for it to be stopped; it ends when AMC says that it has.';

-- Serves the search for those that nobody stops although somebody asked.
create index workflow_executions_to_cancel on workflow_executions (cancel_requested_at)
    where cancel_requested_at is not null
      and status in ('queued', 'submitting', 'submit_unknown', 'pending', 'running', 'fetching');
