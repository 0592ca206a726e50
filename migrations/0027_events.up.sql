-- What happened, in order. Rows are only ever added.

create table events (
    id          bigint generated always as identity primary key,
    at          timestamptz not null,
    entity      text not null,
    entity_id   text not null,
    from_status text,
    to_status   text,
    actor       text not null,
    reason      text,
    detail      jsonb not null default '{}'
);

comment on table events is 'The journal of the domain. A row never changes and is never deleted.';
comment on column events.id is 'Orders the events.';
comment on column events.at is 'When it happened.';
comment on column events.entity is 'What kind of thing it happened to, such as execution or week.';
comment on column events.entity_id is 'Which one.';
comment on column events.from_status is 'Where it stood before; null when that did not change.';
comment on column events.to_status is 'Where it stood after; null when that did not change.';
comment on column events.actor is 'Who did it: a job kind, a command or a person.';
comment on column events.reason is 'Why, in one sentence.';
comment on column events.detail is 'What else is worth knowing.';

-- Serves the history of one thing.
create index events_of_entity on events (entity, entity_id, id);
create index events_by_age on events (at);

create trigger refuse_change before update or delete on events for each row execute function refuse_change();
