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

    constraint shut_by_a_gate_since_a_time check (
        (shut_by is null) = (shut_gate is null) and (shut_by is null) = (shut_since is null)
        and (opens_at is null or shut_by is not null)
    ),
    constraint gate_is_known check (
        shut_gate in ('paused', 'breaker', 'not_before', 'limit', 'rate', 'quota', 'hold')
    )
) with (fillfactor = 50);

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

-- Serves the opening of a gate.
create index lanes_shut on engine.lanes (shut_by, waits_since) where shut_by is not null;
-- Serves the question when the next one opens by itself.
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

create table engine.events (
    id       bigint generated always as identity primary key,
    at       timestamptz not null,
    resource text not null,
    what     text not null,
    by       text not null,
    why      text not null
);

comment on table engine.events is 'What happened to gates: who opened or shut which, and why.';
comment on column engine.events.id is 'In the order they were written.';
comment on column engine.events.at is 'When.';
comment on column engine.events.resource is 'The resource, queue or kind whose gate it was.';
comment on column engine.events.what is 'Such as paused, resumed, breaker_opened.';
comment on column engine.events.by is 'A person, or the engine.';
comment on column engine.events.why is 'The reason, in a sentence.';

create index events_by_resource on engine.events (resource, id desc);
create index events_by_time on engine.events (at);

-- ---- functions ----

create function engine.is_gated(r engine.resources) returns boolean
language sql stable
as $$
    select r.max_holds is not null or r.max_running is not null or r.rate is not null
        or r.quota is not null or r.breaker is not null or r.paused_at is not null
        or r.not_before is not null
$$;

comment on function engine.is_gated(engine.resources) is 'Whether the resource has any gate, open or shut.';

-- Both this and whoever sets a gate lock the resources' rows, so no lane misses a new gate.
create function engine.make_lane(sample engine.jobs) returns void
language plpgsql
as $$
declare
    needs text[] := array[
        'queue:' || sample.queue, 'kind:' || sample.kind
    ] || array(select use ->> 'resource' from jsonb_array_elements(sample.uses) as use);
begin
    insert into engine.resources (name) select name from unnest(needs) as name order by name
    on conflict (name) do nothing;
    perform from engine.resources where name = any(needs) order by name for share;
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

-- One claim. Jobs whose lane has no gate are leased at once; of the gated lanes it says how many jobs
-- could start, and the caller asks their gates. The answers: what = 'job', a lease; 'gated', a lane and
-- how many; 'cursor', the lane whose turn it was last, and how many of its jobs may still start in that
-- turn (a claim for few slots cuts turns short); 'rest', how long until something becomes due.
create function engine.claim(
    my_session bigint, its_queue text,
    shares smallint[], allotted int[], cursors bigint[], credits int[], free int,
    known_kinds text[], known_versions smallint[]
) returns table (
    what text, turn int, lane_id bigint, many int, seconds float8,
    id bigint, fence int, kind text, args jsonb, attempt smallint, max_attempts smallint,
    timeout_ms int, snoozes int, throttles smallint, denials smallint, interruptions smallint,
    created_at timestamptz, claimed_at timestamptz, priority smallint, run_at timestamptz, share smallint
)
language plpgsql
as $$
#variable_conflict use_column
declare
    right_now timestamptz := engine.now();
    turns int := 0;
    wanted int;
    my_share smallint;
    first_time int;
    began_at bigint;
    cursor_at bigint;
    first_lane bigint;
    this_lane bigint;
    wrapped boolean;
    row_of_lane engine.lanes;
    open_lanes bigint[];
    weights int[];
    ready int[];       -- for a gated lane, how many of its jobs are ready; null for the others
    offered int[];     -- how many of these have been counted in
    asked_lanes bigint[] := '{}';  -- what has been offered before, when a share comes once more
    asked_many int[] := '{}';
    already int;
    room_on text;      -- the resource, and the gate of it, that was last asked whether it has room
    room_of text;
    has_room boolean;
    live boolean[];
    total_weight int;
    factor int;
    turn_left int;     -- what is left of the turn of the lane at the cursor
    quantum int;       -- what the lane may start in this round
    part int;
    got int;
    progress boolean;
begin
    if not exists (
        select from engine.sessions as s where s.id = my_session and s.ended_at is null
    ) then
        return;
    end if;

    update engine.jobs set due = true
    where id = any(array(
        select j.id from engine.jobs as j
        where j.queue = its_queue and j.state = 'waiting' and not j.due and j.blocked_by is null
          and j.run_at <= right_now
        order by j.run_at
        limit 1000
        for update skip locked
    ));

    for nth in 1..cardinality(shares) loop
        exit when free <= 0;
        my_share := shares[nth];
        -- A share comes once for its own part, and once more for what is lent.
        first_time := array_position(shares, my_share);
        wanted := least(allotted[nth], free);
        cursor_at := cursors[first_time];
        turn_left := credits[first_time];
        if turn_left > 0 and cursor_at > -9223372036854775808 then
            -- It goes on with its turn: the scan finds it first.
            cursor_at := cursor_at - 1;
        end if;
        began_at := cursor_at;
        continue when wanted <= 0;

        -- The lanes whose turn it is, each once, from the cursor on and around.
        open_lanes := '{}'; weights := '{}'; ready := '{}'; offered := '{}'; live := '{}';
        first_lane := null;
        wrapped := false;
        while cardinality(open_lanes) < wanted loop
            select j.lane into this_lane from engine.jobs as j
            where j.queue = its_queue and j.share = my_share and j.lane > cursor_at
              and j.state = 'waiting' and j.due and j.blocked_by is null
            order by j.lane
            limit 1;
            if not found then
                exit when wrapped;
                wrapped := true;
                cursor_at := -9223372036854775808;
                continue;
            end if;
            exit when this_lane = first_lane or (wrapped and this_lane > began_at);
            first_lane := coalesce(first_lane, this_lane);
            cursor_at := this_lane;

            select * into row_of_lane from engine.lanes as l where l.id = this_lane;
            if not found then
                perform engine.make_lane(j) from engine.jobs as j
                where j.queue = its_queue and j.share = my_share and j.lane = this_lane
                  and j.state = 'waiting' and j.due and j.blocked_by is null
                limit 1;
                select * into row_of_lane from engine.lanes as l where l.id = this_lane;
                continue when not found;
            end if;
            if row_of_lane.shut_by is not null
                and (row_of_lane.opens_at is null or row_of_lane.opens_at > right_now)
            then
                -- A place may be free though the lane is shut: it went to a lane whose jobs nobody
                -- here knows, or to one of another queue that has no slot for them.
                if (row_of_lane.shut_by, row_of_lane.shut_gate) is distinct from (room_on, room_of)
                then
                    room_on := row_of_lane.shut_by;
                    room_of := row_of_lane.shut_gate;
                    select case room_of
                        when 'limit' then coalesce(r.running < r.max_running, true)
                        when 'hold' then coalesce(r.held < r.max_holds, true)
                        else false
                    end into has_room from engine.resources as r where r.name = room_on;
                end if;
                continue when has_room is not true;
            end if;
            continue when known_kinds is not null and not exists (
                select from unnest(known_kinds, known_versions) as known (kind, version)
                where known.kind = row_of_lane.kind and known.version >= row_of_lane.version
            );
            open_lanes := open_lanes || this_lane;
            weights := weights || row_of_lane.weight::int;
            offered := offered || 0;
            live := live || true;
            if row_of_lane.gated then
                already := coalesce(asked_many[array_position(asked_lanes, this_lane)], 0);
                ready := ready || (
                    select greatest(count(*)::int - already, 0) from (
                        select from engine.jobs as j
                        where j.queue = its_queue and j.share = my_share and j.lane = this_lane
                          and j.state = 'waiting' and j.due and j.blocked_by is null
                        limit wanted + already
                    ) as few
                );
            else
                ready := ready || null::int;
            end if;
        end loop;

        -- In each round every lane starts as many as its weight says, in large claims that many times
        -- over; a lane that had fewer is out. So in any sequence of claims, of whatever size, the
        -- starts of lanes that never run dry are in the proportion of their weights to within one turn.
        credits[first_time] := 0;
        progress := true;
        while wanted > 0 and progress loop
            progress := false;
            select coalesce(sum(w), 0) into total_weight
            from unnest(weights, live) as l (w, is_live) where is_live;
            factor := greatest(1, wanted / greatest(total_weight, 1));
            for i in 1..cardinality(open_lanes) loop
                continue when not live[i] or wanted <= 0;
                quantum := weights[i] * factor;
                if turn_left > 0 and open_lanes[i] = cursors[first_time] then
                    quantum := quantum - weights[i] + least(turn_left, weights[i]);
                    turn_left := 0;
                end if;
                part := least(wanted, quantum);
                if ready[i] is not null then
                    got := least(part, ready[i] - offered[i]);
                    offered[i] := offered[i] + got;
                else
                    turns := turns + 1;
                    return query
                    update engine.jobs as j
                    set state = 'running',
                        attempt = j.attempt + 1,
                        fence = j.fence + 1,
                        session = my_session,
                        claimed_at = right_now,
                        gated = false,
                        slots = null
                    where j.id = any(array(
                        select n.id from engine.jobs as n
                        where n.queue = its_queue and n.share = my_share and n.lane = open_lanes[i]
                          and n.state = 'waiting' and n.due and n.blocked_by is null
                        order by n.priority, n.run_at, n.id
                        limit part
                        -- Another process may be claiming the same rows: take the next ones instead.
                        for update skip locked
                    ))
                    returning
                        'job'::text, turns, j.lane, null::int, null::float8, j.id, j.fence, j.kind,
                        j.args, j.attempt, j.max_attempts, j.timeout_ms, j.snoozes, j.throttles,
                        j.denials, j.interruptions, j.created_at, j.claimed_at, j.priority, j.run_at,
                        j.share;
                    get diagnostics got = row_count;
                end if;
                live[i] := got = part;
                progress := progress or got > 0;
                wanted := wanted - got;
                free := free - got;
                cursor_at := open_lanes[i];
                credits[first_time] := case when live[i] then quantum - got else 0 end;
            end loop;
        end loop;

        for i in 1..cardinality(open_lanes) loop
            if offered[i] > 0 then
                what := 'gated'; lane_id := open_lanes[i]; many := offered[i]; share := my_share;
                return next;
                asked_lanes := asked_lanes || open_lanes[i];
                asked_many := asked_many || offered[i];
            end if;
        end loop;
        cursors[first_time] := cursor_at;
        what := 'cursor'; lane_id := cursor_at; many := credits[first_time]; share := my_share;
        return next;
    end loop;

    if free > 0 then
        what := 'rest';
        seconds := extract(epoch from least(
            (
                select min(j.run_at) from engine.jobs as j
                where j.queue = its_queue and j.state = 'waiting' and not j.due
                  and j.blocked_by is null
            ),
            (
                select min(l.opens_at) from engine.lanes as l
                where l.queue = its_queue and l.opens_at > right_now
            )
        ) - right_now);
        return next;
    end if;
end
$$;

comment on function engine.claim(bigint, text, smallint[], int[], bigint[], int[], int, text[], smallint[])
    is 'Leases jobs that are due, lane by lane in turn, and says which gated lanes have more.';
