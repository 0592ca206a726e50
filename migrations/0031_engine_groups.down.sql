-- Takes away groups.

set local lock_timeout = '10s';

alter table engine.jobs_history
    drop column group_id,
    drop column member;

alter table engine.jobs
    drop constraint member_of_a_group,
    drop column group_id,
    drop column member;

drop table engine.members;
drop table engine.groups;
