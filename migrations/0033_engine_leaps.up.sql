-- Claim leaps from one lane to start from to the next, however many stand between, and lanes that
-- nobody uses any more are forgotten.

set local lock_timeout = '10s';

alter table engine.lanes
    add column idle_since timestamptz,
    set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);

comment on column engine.lanes.idle_since is 'Since when it has had no ready job whenever somebody looked.';

alter table engine.resources set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);

-- Serves claim: the next lane of a kind that nothing keeps shut.
create index lanes_open on engine.lanes (queue, share, kind, id) where shut_by is null;

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

-- A job that has become ready in a lane without a row is noted, whatever made it ready: claim goes
-- from one open lane to the next, and would never come by. Nobody waits for anybody here.
create function engine.note_unmade_lanes() returns trigger
language plpgsql
as $$
begin
    -- A note that is there says all that is needed: the lane is made of it, with or without a job.
    insert into engine.unmade_lanes (lane, queue, kind, version, share, uses)
    select distinct on (lane) lane, queue, kind, version, share, uses from changed
    where state = 'waiting' and due and blocked_by is null
      and not exists (select from engine.lanes where lanes.id = changed.lane)
      and not exists (select from engine.unmade_lanes as noted where noted.lane = changed.lane);
    return null;
end
$$;

comment on function engine.note_unmade_lanes() is 'Notes the lanes of new and changed jobs that claim has yet to make.';

create trigger unmade_lanes_of_new_jobs after insert on engine.jobs
    referencing new table as changed
    for each statement execute function engine.note_unmade_lanes();
create trigger unmade_lanes_of_changed_jobs after update on engine.jobs
    referencing new table as changed
    for each statement execute function engine.note_unmade_lanes();

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

-- Finds the first lane after this one that is open and has a ready job, by leaps: from an open lane to
-- the first one with a job that is not before it, and from there to the first open one again. What
-- stands between, shut lanes with jobs or open ones without, is never looked at one by one.
create function engine.next_lane(
    its_queue text, my_share smallint, after_lane bigint,
    known_kinds text[], known_versions smallint[]
) returns bigint
language plpgsql
as $$
declare
    open_lane bigint;
    lane_with_job bigint := after_lane;
begin
    loop
        select min(first_of_kind.id) into open_lane
        from unnest(known_kinds, known_versions) as known (kind, version)
        cross join lateral (
            select l.id from engine.lanes as l
            -- Said so that only lanes_open has this order: by its id alone, one could read all of them.
            where (l.queue, l.share, l.kind, l.id) >= (its_queue, my_share, known.kind, lane_with_job)
              and (l.queue, l.share, l.kind) <= (its_queue, my_share, known.kind)
              and l.id > after_lane and l.version <= known.version and l.shut_by is null
            order by l.queue, l.share, l.kind, l.id
            limit 1
        ) as first_of_kind;
        exit when open_lane is null;
        select j.lane into lane_with_job from engine.jobs as j
        where j.queue = its_queue and j.share = my_share and j.lane >= open_lane
          and j.state = 'waiting' and j.due and j.blocked_by is null
        order by j.lane
        limit 1;
        exit when not found or lane_with_job = open_lane;
    end loop;
    return case when lane_with_job = open_lane then open_lane end;
end
$$;

comment on function engine.next_lane(text, smallint, bigint, text[], smallint[])
    is 'The first open lane with a ready job after this one, of a kind that the caller knows.';

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
    update engine.lanes set idle_since = case when idle_since is null then right_now end
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
