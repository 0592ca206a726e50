-- The engine's own schema, and the one clock that decides what is due.

create schema engine;

comment on schema engine is 'The durable job queue. Nothing in here knows what the jobs are about.';

create table engine.clock (
    only_row boolean primary key default true check (only_row),
    moved_by interval not null default interval '0'
);

comment on table engine.clock is 'How far the clock is moved. Tests move it; an installation leaves it at zero.';
comment on column engine.clock.only_row is 'Keeps this a table of one row.';
comment on column engine.clock.moved_by is 'Added to the server''s time by engine.now().';

insert into engine.clock default values;

-- clock_timestamp(), not now(): a long transaction must not see an old time.
-- Ask it once per statement, as `(select engine.now())`, so that an index can be used.
create function engine.now() returns timestamptz
language sql volatile parallel safe
as 'select clock_timestamp() + moved_by from engine.clock';

comment on function engine.now() is 'The time by which the queue decides what is due and whose lease has ended.';
