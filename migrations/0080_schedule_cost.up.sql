-- What a schedule might cost at most, as other products write it down. Kept, and never acted upon.

set local lock_timeout = '10s';

alter table workflow_schedules
    add column cost_limit numeric(12, 2),
    add constraint cost_limit_is_not_negative check (cost_limit >= 0);

comment on column workflow_schedules.cost_limit is 'The most that a run might cost, in US dollars, as it was imported; AMC tells no costs, so nothing is compared with it.';
