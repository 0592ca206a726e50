-- Takes away what 0049_batches.up.sql made.

set local lock_timeout = '10s';

drop index workflow_executions_member_attempt;
drop index workflow_executions_one_per_member;
alter table workflow_executions
    drop constraint member_exactly_for_a_batch,
    drop column batch_member_id;
drop table batch_members;
drop table batch_executions;
