-- An execution may take over the result of another one that asked AMC the same, and then was never there.

set local lock_timeout = '10s';

alter table workflow_executions
    add column reused_from uuid references workflow_executions (id) on delete restrict,
    drop constraint at_amc_only_with_amcs_id,
    add constraint at_amc_only_with_amcs_id check (
        status not in ('pending', 'running', 'fetching', 'succeeded')
        or amc_execution_id is not null
        or reused_from is not null
    ),
    add constraint reused_instead_of_sent check (
        reused_from is null or (status = 'succeeded' and amc_execution_id is null and reused_from <> id)
    );

comment on column workflow_executions.reused_from is 'The execution whose result it took over instead of being sent; null for one that was sent.';

-- Serves whoever looks for a result to take over, and whoever drops old runs.
create index workflow_executions_answered on workflow_executions
    (workflow_version_id, instance_id, window_start, window_end) where status = 'succeeded';
create index workflow_executions_reused on workflow_executions (reused_from) where reused_from is not null;
