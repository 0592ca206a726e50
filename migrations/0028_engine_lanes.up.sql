-- Lanes: jobs that need the same things wait in the same lane, and a gate shuts lanes, not jobs.
-- So a pause costs the same for one waiting job as for a million, and no tenant stands in another's way.

set local lock_timeout = '10s';

-- ---- what a job is, beyond what it was ----

drop index engine.jobs_to_claim;

alter table engine.jobs
    add column uses    jsonb,
    add column slots   text[],
    add column share   smallint not null default 0,
    add column version smallint not null default 1,
    add column due     boolean not null default false,
    add column gated   boolean not null default false,
    add constraint share_is_known check (share between 0 and 2),
    add constraint version_is_positive check (version > 0);

update engine.jobs
set due = run_at <= engine.now(),
    uses = (
        select jsonb_agg(jsonb_build_object('resource', name, 'cost', 1, 'hold', hold_as is not null))
        from unnest(resources) as name
    );

alter table engine.jobs
    drop constraint hold_needs_resources,
    drop column resources,
    add constraint hold_needs_uses check (hold_as is null or uses is not null),
    -- Jobs with the same lane need the same things. Two that collide by chance would share a queue, no more.
    add column lane bigint not null generated always as (
        hashtextextended(
            queue || ' ' || kind || ' ' || version || ' ' || share || ' ' || coalesce(uses::text, ''), 0
        )
    ) stored;

comment on column engine.jobs.uses is 'What it takes of which outside things, besides its queue and kind: [{resource, cost, hold}].';
comment on column engine.jobs.slots is 'The resources on which the attempt is, or was last, counted against a limit.';
comment on column engine.jobs.share is 'The part of a process''s slots it comes out of: 0 live, 1 backfill, 2 maintenance.';
comment on column engine.jobs.version is 'The version of the kind''s arguments. A worker that knows only an older one leaves it alone.';
comment on column engine.jobs.due is 'False while run_at is to come; the first claim after that sets it.';
comment on column engine.jobs.gated is 'Whether the attempt, or the last one, passed gates that are to hear how it went.';
comment on column engine.jobs.lane is 'Where it waits: the same for all jobs that need the same things.';

-- Serves claim: the lanes with something to do, and in each lane the jobs in order.
create index jobs_ready on engine.jobs (queue, share, lane, priority, run_at, id)
    where state = 'waiting' and due and blocked_by is null;
-- Serves the moment when a job becomes due.
create index jobs_scheduled on engine.jobs (queue, run_at)
    where state = 'waiting' and not due and blocked_by is null;

-- ---- lanes, and the gates of resources ----

alter table engine.resources
    add column max_running  int,
    add column running      int not null default 0,
    add column rate         jsonb,
    add column quota        jsonb,
    add column breaker      jsonb,
    add column paused_at    timestamptz,
    add column paused_until timestamptz,
    add column paused_by    text,
    add column pause_reason text,
    add column weight       smallint not null default 1,
    add constraint running_is_not_negative check (running >= 0),
    add constraint max_running_is_not_negative check (max_running >= 0),
    add constraint weight_is_positive check (weight between 1 and 1000),
    add constraint pause_has_a_reason check (
        (paused_at is null) = (paused_by is null) and (paused_at is null) = (pause_reason is null)
        and (paused_until is null or paused_at is not null)
    );

comment on table engine.resources is 'Outside things, queues and kinds, with the gates that hang on them.';
comment on column engine.resources.max_running is 'How many attempts that use it may run at once; null for any number.';
comment on column engine.resources.running is 'How many run now, of those that began under the limit.';
comment on column engine.resources.rate is 'How many jobs may start in any window of time, and how far that is used up.';
comment on column engine.resources.quota is 'How many jobs may start a day, and how many have.';
comment on column engine.resources.breaker is 'When to leave it alone because it fails, and how it stands.';
comment on column engine.resources.paused_at is 'When it was paused; null when it is not.';
comment on column engine.resources.paused_until is 'When the pause ends by itself; null when a person has to end it.';
comment on column engine.resources.paused_by is 'Who paused it.';
comment on column engine.resources.pause_reason is 'Why, in a sentence.';
comment on column engine.resources.weight is 'How many jobs of its lane start in one turn, beside one of others.';

create table engine.lanes (
    id         bigint primary key,
    queue      text not null,
    kind       text not null,
    version    smallint not null,
    share      smallint not null,
    weight     smallint not null,
    gated      boolean not null,
    shut_by    text,
    shut_gate  text,
    shut_since timestamptz,
    waits_since timestamptz,
    opens_at   timestamptz,
    made_at    timestamptz not null,
    idle_since timestamptz,

    constraint shut_by_a_gate_since_a_time check (
        (shut_by is null) = (shut_gate is null) and (shut_by is null) = (shut_since is null)
        and (opens_at is null or shut_by is not null)
    ),
    constraint gate_is_known check (
        shut_gate in ('paused', 'breaker', 'not_before', 'limit', 'rate', 'quota', 'hold')
    )
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);

comment on table engine.lanes is 'Where jobs that need the same things wait. Made by the claim that first meets such a job.';
comment on column engine.lanes.id is 'The lane as its jobs name it.';
comment on column engine.lanes.queue is 'The queue its jobs are in.';
comment on column engine.lanes.kind is 'The kind of its jobs.';
comment on column engine.lanes.version is 'The version of their arguments.';
comment on column engine.lanes.share is 'The part of a process''s slots they come out of.';
comment on column engine.lanes.weight is 'How many of its jobs start in one turn, beside one of others.';
comment on column engine.lanes.gated is 'Whether one of its resources has a gate: then its jobs start under that resource''s lock.';
comment on column engine.lanes.shut_by is 'The resource that keeps its jobs from starting; null when none does.';
comment on column engine.lanes.shut_gate is 'Which of the resource''s gates does.';
comment on column engine.lanes.shut_since is 'Since when.';
comment on column engine.lanes.waits_since is 'Since when none of its jobs could start, opened meanwhile or not. Whoever has waited longest is let in first.';
comment on column engine.lanes.opens_at is 'When it opens by itself; null when something has to happen first.';
comment on column engine.lanes.made_at is 'When a claim first met it.';
comment on column engine.lanes.idle_since is 'Since when it has had no ready job whenever somebody looked.';

-- Serves the opening of a gate.
create index lanes_shut on engine.lanes (shut_by, waits_since) where shut_by is not null;
-- Serves the question when the next one opens by itself, and which ones have.
create index lanes_opening on engine.lanes (queue, opens_at) where opens_at is not null;

create table engine.lane_uses (
    resource text not null references engine.resources (name),
    lane     bigint not null references engine.lanes (id) on delete cascade,
    cost     int not null,
    hold     boolean not null,

    primary key (resource, lane),
    constraint cost_is_positive check (cost > 0)
);

comment on table engine.lane_uses is 'What the jobs of a lane take of which resources, their queue and kind among them.';
comment on column engine.lane_uses.resource is 'The resource.';
comment on column engine.lane_uses.lane is 'The lane.';
comment on column engine.lane_uses.cost is 'How much of its rate and quota one job takes.';
comment on column engine.lane_uses.hold is 'Whether a job takes a place that outlives it, if the resource has places.';

create index lane_uses_by_lane on engine.lane_uses (lane);

create table engine.unmade_lanes (
    lane    bigint not null,
    queue   text not null,
    kind    text not null,
    version smallint not null,
    share   smallint not null,
    uses    jsonb
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

comment on table engine.unmade_lanes is 'Lanes that have a ready job and no row yet. The next claim makes them.';
comment on column engine.unmade_lanes.lane is 'The lane.';
comment on column engine.unmade_lanes.queue is 'The queue of its jobs.';
comment on column engine.unmade_lanes.kind is 'Their kind.';
comment on column engine.unmade_lanes.version is 'The version of their arguments.';
comment on column engine.unmade_lanes.share is 'The part of a process''s slots they come out of.';
comment on column engine.unmade_lanes.uses is 'What they take of which outside things.';

create index unmade_lanes_by_lane on engine.unmade_lanes (lane);

create table engine.events (
    id       bigint generated always as identity,
    at       timestamptz not null,
    resource text not null,
    what     text not null,
    by       text not null,
    why      text not null
) partition by range (at);

comment on table engine.events is 'What happened to gates: who opened or shut which, and why.';
comment on column engine.events.id is 'In the order they were written.';
comment on column engine.events.at is 'When.';
comment on column engine.events.resource is 'The resource, queue or kind whose gate it was.';
comment on column engine.events.what is 'Such as paused, resumed, breaker_opened.';
comment on column engine.events.by is 'A person, or the engine.';
comment on column engine.events.why is 'The reason, in a sentence.';

create index events_by_resource on engine.events (resource, id desc);
create index events_by_time on engine.events (at);

create table engine.events_default partition of engine.events default;

-- ---- functions ----

create function engine.is_gated(r engine.resources) returns boolean
language sql stable
as $$
    select r.max_holds is not null or r.max_running is not null or r.rate is not null
        or r.quota is not null or r.breaker is not null
        or r.paused_at is not null and coalesce(r.paused_until > engine.now(), true)
        or coalesce(r.not_before > engine.now(), false)
$$;

comment on function engine.is_gated(engine.resources) is 'Whether the resource has any gate, open or shut; one that time has opened for good is none.';

create function engine.uses_resource(job engine.jobs, its_name text) returns boolean
language sql immutable
as $$
    select its_name in ('queue:' || job.queue, 'kind:' || job.kind)
        or coalesce(job.uses @> jsonb_build_array(jsonb_build_object('resource', its_name)), false)
$$;

comment on function engine.uses_resource(engine.jobs, text) is 'Whether the job needs this resource, its queue and kind included.';

-- Both this and whoever sets a gate lock the resources' rows, so no lane misses a new gate.
create function engine.make_lane(sample engine.jobs) returns void
language plpgsql
as $$
declare
    needs text[] := array[
        'queue:' || sample.queue, 'kind:' || sample.kind
    ] || array(select use ->> 'resource' from jsonb_array_elements(sample.uses) as use);
    locked int;
begin
    loop
        insert into engine.resources (name) select name from unnest(needs) as name order by name
        on conflict (name) do nothing;
        perform from engine.resources where name = any(needs) order by name for share;
        get diagnostics locked = row_count;
        -- One that nobody needed may have been forgotten meanwhile.
        exit when locked >= (select count(distinct name) from unnest(needs) as name);
    end loop;
    insert into engine.lanes (id, queue, kind, version, share, weight, gated, made_at)
    select
        sample.lane, sample.queue, sample.kind, sample.version, sample.share,
        coalesce((
            select max(weight) from engine.resources
            where name = any(needs)
        ), 1),
        exists (select from engine.resources as r where name = any(needs) and engine.is_gated(r)),
        engine.now()
    on conflict (id) do nothing;
    insert into engine.lane_uses (resource, lane, cost, hold)
    select name, sample.lane, 1, false from unnest(needs[1:2]) as name
    union all
    select
        use ->> 'resource', sample.lane, max(coalesce((use ->> 'cost')::int, 1)),
        bool_or(coalesce((use ->> 'hold')::boolean, false))
    from jsonb_array_elements(sample.uses) as use
    group by use ->> 'resource'
    on conflict (resource, lane) do nothing;
end
$$;

comment on function engine.make_lane(engine.jobs) is 'Makes the lane that this job waits in.';

-- Makes the lanes that were noted. Of two claims that meet here the second waits for the first.
-- Claim has locked jobs, then come these notes, then resources: nobody has them the other way round.
create function engine.make_noted_lanes(at_most int) returns int
language plpgsql
as $$
declare
    notes engine.unmade_lanes[];
    noted engine.unmade_lanes;
    needs text[];
    sample engine.jobs;
begin
    with gone as (
        delete from engine.unmade_lanes
        where ctid = any(array(select ctid from engine.unmade_lanes limit at_most for update))
        returning *
    )
    select array_agg((lane, queue, kind, version, share, uses)::engine.unmade_lanes)
    into notes from gone;
    if notes is null then
        return 0;
    end if;
    -- The resources of all of them at once, in the order in which everybody locks resources.
    needs := array(
        select distinct name from unnest(notes) as n
        cross join lateral (
            select 'queue:' || n.queue as name
            union all select 'kind:' || n.kind
            union all select use ->> 'resource' from jsonb_array_elements(n.uses) as use
        ) as need
        order by name
    );
    insert into engine.resources (name) select name from unnest(needs) as name order by name
    on conflict (name) do nothing;
    perform from engine.resources where name = any(needs) order by name for share;
    foreach noted in array notes loop
        sample.lane := noted.lane;
        sample.queue := noted.queue;
        sample.kind := noted.kind;
        sample.version := noted.version;
        sample.share := noted.share;
        sample.uses := noted.uses;
        perform engine.make_lane(sample);
    end loop;
    return cardinality(notes);
end
$$;

comment on function engine.make_noted_lanes(int)
    is 'Makes lanes that have jobs but no row yet, at most so many; returns how many notes there were.';

-- The safety net: notes every lane that has a ready job and no row. It goes from lane to lane, not
-- from job to job.
create function engine.note_missing_lanes() returns bigint
language sql
as $$
    with recursive place as (
        (select queue, share, lane, kind, version, uses from engine.jobs
         where state = 'waiting' and due and blocked_by is null
         order by queue, share, lane limit 1)
        union all
        select next.queue, next.share, next.lane, next.kind, next.version, next.uses
        from place
        cross join lateral (
            select queue, share, lane, kind, version, uses from engine.jobs
            where state = 'waiting' and due and blocked_by is null
              and (queue, share, lane) > (place.queue, place.share, place.lane)
            order by queue, share, lane
            limit 1
        ) as next
    ),
    noted as (
        insert into engine.unmade_lanes (lane, queue, kind, version, share, uses)
        select lane, queue, kind, version, share, uses from place
        where not exists (select from engine.lanes where lanes.id = place.lane)
          and not exists (select from engine.unmade_lanes as already where already.lane = place.lane)
        returning 1
    )
    select count(*) from noted
$$;

comment on function engine.note_missing_lanes() is 'Notes lanes that have a ready job and no row; returns how many there were.';

-- Forgets lanes in which nothing has been ready for so long, seen twice so far apart, and resources
-- that neither a gate, a lane nor a hold needs. Whoever needs one of them again makes it again. Lanes
-- that came to their time and have nothing to start are opened: claim need not look at them then.
create function engine.forget_lanes(idle interval) returns bigint
language plpgsql
as $$
declare
    forgotten bigint;
    right_now timestamptz := engine.now();
begin
    update engine.lanes
    set idle_since = case when idle_since is null then right_now end,
        -- What it was offered is for others.
        waits_since = case when idle_since is not null or shut_by is not null then waits_since end
    where id = any(array(
        select id from engine.lanes as l
        where (l.idle_since is null) <> exists (
            select from engine.jobs
            where queue = l.queue and share = l.share and lane = l.id
              and state = 'waiting' and due and blocked_by is null
        )
        for update skip locked
    ));
    update engine.lanes set shut_by = null, shut_gate = null, shut_since = null, opens_at = null
    where id = any(array(
        select id from engine.lanes
        where opens_at < right_now - interval '10 seconds' and idle_since is not null
        for update skip locked
    ));
    delete from engine.lanes
    where id = any(array(
        select id from engine.lanes where idle_since < right_now - idle for update skip locked
    ));
    get diagnostics forgotten = row_count;
    -- A job that came into a lane in this very moment saw it still there.
    perform engine.note_missing_lanes();
    delete from engine.resources
    where name = any(array(
        select name from engine.resources as r
        where not engine.is_gated(r) and r.held = 0 and r.running = 0 and r.weight = 1
          and (r.opened_at is null or r.opened_at < right_now - idle - interval '1 day')
          and not exists (select from engine.lane_uses where resource = r.name)
          and not exists (select from engine.holds where resource = r.name)
        order by name
        for update skip locked
    ));
    return forgotten;
end
$$;

comment on function engine.forget_lanes(interval) is 'Forgets lanes and resources that nobody has needed for so long; returns how many lanes.';

-- The jobs that are there.
select engine.note_missing_lanes();
