-- Takes away what 0056_reused_results.up.sql made. What took over a result never was at AMC: it counts as
-- cancelled from then on.

set local lock_timeout = '10s';

drop index workflow_executions_reused;
drop index workflow_executions_answered;

alter table workflow_executions drop constraint reused_instead_of_sent;

update workflow_executions
set status = 'cancelled', error_class = 'reused', error_message = 'it took over the result of another execution'
where reused_from is not null;

alter table workflow_executions
    drop constraint at_amc_only_with_amcs_id,
    add constraint at_amc_only_with_amcs_id
        check (status not in ('pending', 'running', 'fetching', 'succeeded') or amc_execution_id is not null),
    drop column reused_from;
