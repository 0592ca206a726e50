-- Takes away lanes, and the gates that came with them.

set local lock_timeout = '10s';

drop function engine.forget_lanes(interval);
drop function engine.note_missing_lanes();
drop function engine.make_noted_lanes(int);
drop function engine.make_lane(engine.jobs);
drop function engine.uses_resource(engine.jobs, text);
drop function engine.is_gated(engine.resources);
drop table engine.events;
drop table engine.unmade_lanes;
drop table engine.lane_uses;
drop table engine.lanes;

alter table engine.resources
    drop constraint pause_has_a_reason,
    drop column max_running,
    drop column running,
    drop column rate,
    drop column quota,
    drop column breaker,
    drop column paused_at,
    drop column paused_until,
    drop column paused_by,
    drop column pause_reason,
    drop column weight;

comment on table engine.resources is 'Outside things with a limit or a pause. One without a row here has neither.';

alter table engine.jobs
    add column resources text[];

update engine.jobs
set resources = (select array_agg(use ->> 'resource') from jsonb_array_elements(uses) as use);

drop index engine.jobs_ready;
drop index engine.jobs_scheduled;

alter table engine.jobs
    drop constraint hold_needs_uses,
    drop column lane,
    drop column uses,
    drop column slots,
    drop column share,
    drop column version,
    drop column due,
    drop column gated,
    add constraint hold_needs_resources check (hold_as is null or resources is not null);

comment on column engine.jobs.resources is 'The outside things it uses; their gates decide with run_at when it may start.';

create index jobs_to_claim on engine.jobs (queue, priority, run_at, id)
    where state = 'waiting' and blocked_by is null;
