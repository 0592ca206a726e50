-- The named outside things that gates hang on, and who holds a place on them.

create table engine.resources (
    name       text primary key,
    max_holds  int,
    held       int not null default 0,
    not_before timestamptz,
    reason     text,
    opened_at  timestamptz,

    constraint held_is_not_negative check (held >= 0),
    constraint max_holds_is_not_negative check (max_holds >= 0)
) with (fillfactor = 50);

comment on table engine.resources is 'Outside things with a limit or a pause. One without a row here has neither.';
comment on column engine.resources.name is 'What it is, such as amc_instance:amcibersblt.';
comment on column engine.resources.max_holds is 'How many holders may have a place at once; null for any number.';
comment on column engine.resources.held is 'How many have one now. Equals the count of its holds.';
comment on column engine.resources.not_before is 'No job that uses it starts before this time.';
comment on column engine.resources.reason is 'Why not_before was set.';
comment on column engine.resources.opened_at is 'When it was last opened to those that were blocked by it.';

create table engine.holds (
    resource text not null references engine.resources (name),
    holder   text not null,
    job_id   bigint not null,
    taken_at timestamptz not null,

    primary key (holder, resource)
);

comment on table engine.holds is 'Places taken on resources. A hold outlives the job that took it, until its holder lets go.';
comment on column engine.holds.resource is 'The resource it is a place on.';
comment on column engine.holds.holder is 'In whose name, such as execution:<id>.';
comment on column engine.holds.job_id is 'The job that took it.';
comment on column engine.holds.taken_at is 'When.';

create index holds_by_resource on engine.holds (resource);
