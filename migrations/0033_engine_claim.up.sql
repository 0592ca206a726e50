-- The claim: it leaps from one lane to start from to the next, however many stand between.

set local lock_timeout = '10s';

alter table engine.resources set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);

-- Serves claim: the next lane of a kind that nothing keeps shut.
create index lanes_open on engine.lanes (queue, share, kind, id) where shut_by is null;

-- Serves claim: lanes that were opened and have not been served since.
create index lanes_offered on engine.lanes (id) where shut_by is null and waits_since is not null;

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

-- In plpgsql, which plans it once: a claim asks it of many lanes.
create function engine.is_waited_for(l engine.lanes, known_kinds text[], known_versions smallint[])
returns boolean
language plpgsql stable
as $$
begin
    return exists (
            select from unnest(known_kinds, known_versions) as known (kind, version)
            where known.kind = l.kind and known.version >= l.version
        )
        and exists (
            select from engine.jobs as j
            where j.queue = l.queue and j.share = l.share and j.lane = l.id
              and j.state = 'waiting' and j.due and j.blocked_by is null
        );
end
$$;

comment on function engine.is_waited_for(engine.lanes, text[], smallint[])
    is 'Whether the lane has a ready job, of a kind that the caller knows.';

-- One claim. Jobs whose lane has no gate are leased at once; of the gated lanes it says how many jobs
-- could start, and the caller asks their gates. The answers: 'job', a lease; 'gated', a lane and how many;
-- 'cursor', the lane whose turn it was last, and how many of its jobs may still start in that turn (a
-- claim for few slots cuts turns short); 'more', look again; 'rest', how long until one is due.
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
-- Whatever the statistics say of tables that were small a moment ago: a claim never scans one. And it
-- plans nothing anew for each lane that it looks at, which took longer than to look.
set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    right_now timestamptz := engine.now();
    wanted int;
    planned int;
    my_share smallint;
    first_time int;
    began_at bigint;
    cursor_at bigint;
    first_lane bigint;
    this_lane bigint;
    come_lane bigint;
    wrapped boolean;
    row_of_lane engine.lanes;
    come_jobs bigint[];    -- those whose time has come
    come_lanes bigint[];   -- shut ones whose time to open has come
    open_lanes bigint[];
    weights int[];
    gated_lanes boolean[];
    ready int[];           -- how many of its jobs are ready
    offered int[];         -- how many of these have been counted in
    asked_lanes bigint[] := '{}';  -- what has been offered before, when a share comes once more
    asked_many int[] := '{}';
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

    come_jobs := array(
        select j.id from engine.jobs as j
        where j.queue = its_queue and j.state = 'waiting' and not j.due and j.blocked_by is null
          and j.run_at <= right_now
        order by j.run_at
        limit 1000
        for update skip locked
    );
    if cardinality(come_jobs) > 0 then
        update engine.jobs as j set due = true where j.id = any(come_jobs);
    end if;
    if engine.make_noted_lanes(1000) = 1000 then what := 'more'; return next; end if;
    if known_kinds is null then
        select array_agg(distinct l.kind) into known_kinds
        from engine.lanes as l where l.queue = its_queue;
        known_versions := array_fill(32767::smallint, array[coalesce(cardinality(known_kinds), 0)]);
    end if;

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
        open_lanes := '{}'; weights := '{}'; gated_lanes := '{}'; offered := '{}'; live := '{}';
        come_lanes := array(
            select l.id from engine.lanes as l
            where l.queue = its_queue and l.share = my_share and l.opens_at <= right_now
              and engine.is_waited_for(l, known_kinds, known_versions)
            order by l.opens_at
            -- Those that were asked already in this claim, when the share comes once more, are no answer.
            limit wanted + cardinality(asked_lanes)
        );
        first_lane := null;
        wrapped := false;
        while cardinality(open_lanes) < wanted loop
            this_lane := engine.next_lane(its_queue, my_share, cursor_at, known_kinds, known_versions);
            if cardinality(come_lanes) > 0 then
                select min(come) into come_lane from unnest(come_lanes) as come where come > cursor_at;
                this_lane := least(this_lane, come_lane);
            end if;
            if this_lane is null then
                exit when wrapped;
                wrapped := true;
                cursor_at := -9223372036854775808;
                continue;
            end if;
            exit when this_lane = first_lane or (wrapped and this_lane > began_at);
            first_lane := coalesce(first_lane, this_lane);
            cursor_at := this_lane;

            select * into row_of_lane from engine.lanes as l where l.id = this_lane;
            continue when not found;
            open_lanes := open_lanes || this_lane;
            weights := weights || row_of_lane.weight::int;
            gated_lanes := gated_lanes || row_of_lane.gated;
            offered := offered || 0;
            live := live || true;
        end loop;
        if cardinality(open_lanes) < wanted then
            -- A place may be free though the lane is shut: it went to a lane whose jobs nobody here
            -- knows, or to one of another queue that has no slot for them.
            for row_of_lane in
                select l.* from (
                    select used.resource from (
                        select offered.id from engine.lanes as offered
                        where offered.shut_by is null and offered.waits_since is not null
                        order by offered.id
                        limit 100
                    ) as offered
                    -- Limits keep the planner from reading all of a table to join it.
                    cross join lateral (
                        select resource from engine.lane_uses where lane = offered.id limit 100
                    ) as used
                    union
                    -- And, as a net under that, the first ones that keep any lane shut, by leaps.
                    select keeper from (
                        with recursive keepers as (
                            select min(shut_by) as keeper, 1 as nth from engine.lanes
                            where shut_by is not null
                            union all
                            select (
                                select min(shut_by) from engine.lanes where shut_by > keepers.keeper
                            ), keepers.nth + 1
                            from keepers
                            where keepers.keeper is not null and keepers.nth < 100
                        )
                        select keeper from keepers where keeper is not null
                    ) as leaps
                ) as needed
                cross join lateral (
                    select * from engine.resources where name = needed.resource limit 1
                ) as r
                cross join lateral (
                    select * from engine.lanes as l
                    where l.shut_by = r.name
                      and case l.shut_gate when 'limit' then r.running < r.max_running
                          when 'hold' then r.held < r.max_holds else false end
                      and l.queue = its_queue and l.share = my_share and l.id <> all(open_lanes)
                      and engine.is_waited_for(l, known_kinds, known_versions)
                    order by l.waits_since
                    limit wanted - cardinality(open_lanes)
                ) as l
                where r.running < r.max_running or r.held < r.max_holds
                limit wanted - cardinality(open_lanes)
            loop
                open_lanes := open_lanes || row_of_lane.id;
                weights := weights || row_of_lane.weight::int;
                gated_lanes := gated_lanes || row_of_lane.gated;
                offered := offered || 0;
                live := live || true;
            end loop;
        end if;
        if cardinality(open_lanes) = 0 then
            credits[first_time] := 0;
            cursors[first_time] := cursor_at;
            what := 'cursor'; lane_id := cursor_at; many := 0; share := my_share;
            return next;
            continue;
        end if;
        ready := array(
            select case when cardinality(open_lanes) = 1 and not l.is_gated then wanted else (
                select greatest(count(*)::int - l.already, 0) from (
                    select from engine.jobs as j
                    where j.queue = its_queue and j.share = my_share and j.lane = l.lane
                      and j.state = 'waiting' and j.due and j.blocked_by is null
                    limit wanted + l.already
                ) as few
            ) end
            from (
                select lane, is_gated, nth,
                    coalesce(asked_many[array_position(asked_lanes, lane)], 0) as already
                from unnest(open_lanes, gated_lanes) with ordinality as open (lane, is_gated, nth)
            ) as l
            order by l.nth
        );

        -- In each round every lane starts as many as its weight says, in large claims that many times
        -- over; a lane that had fewer is out. So in any sequence of claims, of whatever size, the
        -- starts of lanes that never run dry are in the proportion of their weights to within one turn.
        credits[first_time] := 0;
        planned := wanted;
        progress := true;
        while planned > 0 and progress loop
            progress := false;
            select coalesce(sum(w), 0) into total_weight
            from unnest(weights, live) as l (w, is_live) where is_live;
            factor := greatest(1, planned / greatest(total_weight, 1));
            for i in 1..cardinality(open_lanes) loop
                continue when not live[i] or planned <= 0;
                quantum := weights[i] * factor;
                if turn_left > 0 and open_lanes[i] = cursors[first_time] then
                    quantum := quantum - weights[i] + least(turn_left, weights[i]);
                    turn_left := 0;
                end if;
                part := least(planned, quantum);
                got := least(part, ready[i] - offered[i]);
                offered[i] := offered[i] + got;
                live[i] := got = part;
                progress := progress or got > 0;
                planned := planned - got;
                if gated_lanes[i] then
                    wanted := wanted - got;
                    free := free - got;
                end if;
                cursor_at := open_lanes[i];
                credits[first_time] := case when live[i] then quantum - got else 0 end;
            end loop;
        end loop;

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
            select n.id
            from unnest(open_lanes, offered, gated_lanes) as l (lane, many, is_gated)
            cross join lateral (
                select n.id from engine.jobs as n
                where n.queue = its_queue and n.share = my_share and n.lane = l.lane
                  and n.state = 'waiting' and n.due and n.blocked_by is null
                order by n.priority, n.run_at, n.id
                limit l.many
                -- Another process may be claiming the same rows: take the next ones instead.
                for update skip locked
            ) as n
            where not l.is_gated and l.many > 0
        ))
        returning
            'job'::text, nth * 100000 + array_position(open_lanes, j.lane), j.lane, null::int,
            null::float8, j.id, j.fence, j.kind, j.args, j.attempt, j.max_attempts, j.timeout_ms,
            j.snoozes, j.throttles, j.denials, j.interruptions, j.created_at, j.claimed_at,
            j.priority, j.run_at, j.share;
        get diagnostics got = row_count;
        free := free - got;
        -- Others were at the same lanes and took some of what was counted: there may be more elsewhere.
        if cardinality(open_lanes) > 1 and got < wanted - planned then
            what := 'more';
            return next;
        end if;

        for i in 1..cardinality(open_lanes) loop
            if gated_lanes[i] and offered[i] > 0 then
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
