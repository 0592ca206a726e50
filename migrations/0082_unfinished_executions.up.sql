-- Executions under way are found without reading those that have ended.

set local lock_timeout = '10s';

-- Serves whoever looks for executions that nobody works on, the oldest first.
create index workflow_executions_unfinished on workflow_executions (created_at, id)
    where status in ('queued', 'submitting', 'submit_unknown', 'pending', 'running', 'fetching');
