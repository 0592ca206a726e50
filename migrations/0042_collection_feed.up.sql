-- A collection gives its weeks to the queue a few at a time, so that 260,000 of them are not as many jobs, and
-- a pause or a cancel has little to take back.

set local lock_timeout = '10s';

create type feed_order as enum (
    'oldest_first',  -- from the earliest week on
    'newest_first',  -- from the latest week back
    'interleaved'    -- from both ends in turn: the earliest, the latest, the second, …
);

comment on type feed_order is 'In which order the weeks of a collection have their turn.';

alter table report_data_collections
    add column feed_order feed_order not null default 'oldest_first',
    add column max_queued_weeks int not null default 20,
    add constraint max_queued_weeks_is_sane check (max_queued_weeks between 1 and 1000);

comment on column report_data_collections.feed_order is 'In which order its weeks have their turn.';
comment on column report_data_collections.max_queued_weeks is 'How many of its weeks are in the queue at most, from their turn to their end.';

alter table report_data_weeks
    add column turn int not null default 0,
    add column queued_at timestamptz,
    add column attempts_forgiven int not null default 0,
    add constraint attempts_forgiven_were_made check (attempts_forgiven between 0 and attempts);

-- Until now every week was given to the queue at once.
update report_data_weeks week
set turn = numbered.turn,
    queued_at = case when week.status in ('pending', 'running', 'blocked') then week.created_at end
from (
    select id, row_number() over (partition by collection_id order by week_start_date) as turn
    from report_data_weeks
) as numbered
where numbered.id = week.id;

comment on column report_data_weeks.turn is 'When it has its turn among the weeks of its collection: the lowest first.';
comment on column report_data_weeks.queued_at is 'When it was given to the queue; null while its turn has not come, and after it was handed back.';
comment on column report_data_weeks.attempts_forgiven is 'How many of its executions do not count towards its limit: those that were never sent, and those before it was last retried.';

-- Serves the question how many weeks of a collection are in the queue.
create index report_data_weeks_queued on report_data_weeks (collection_id)
    where queued_at is not null and status in ('pending', 'running', 'blocked');
-- Serves the search for the next ones.
create index report_data_weeks_next on report_data_weeks (collection_id, turn, week_start_date)
    where queued_at is null and status = 'pending';

-- A collection knows by itself when its last week has ended; nobody would end these groups any more.
with gone as (
    delete from engine.groups
    where name like 'collection:%'
    returning id
)
delete from engine.members
using gone
where group_id = gone.id;
