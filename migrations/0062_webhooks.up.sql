-- Who is told over HTTP of what happens, and what became of each telling.

set local lock_timeout = '10s';

create type webhook_format as enum (
    'standard',  -- JSON, signed by the scheme of standardwebhooks.com
    'slack'      -- a text, as Slack's incoming webhooks take it
);

comment on type webhook_format is 'In which form a webhook is told.';

create type webhook_state as enum (
    'active',   -- it is told
    'disabled'  -- it is not: a person, or the receiver itself, has said so
);

comment on type webhook_state is 'Whether a webhook is told anything.';

create table webhooks (
    id               uuid primary key,
    url              text not null,
    secret_encrypted text not null,
    format           webhook_format not null,
    events           text[] not null,
    state            webhook_state not null default 'active',
    why              text,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),

    constraint url_is_http check (url ~ '^https?://'),
    constraint secret_is_encrypted check (secret_encrypted ~ '^gAAAA'),
    constraint events_are_named check (cardinality(events) > 0),
    constraint disabled_exactly_with_a_reason check ((state = 'disabled') = (why is not null))
);

comment on table webhooks is 'Addresses that are told of what happens.';
comment on column webhooks.id is 'Names the webhook.';
comment on column webhooks.url is 'Where it is told, by POST.';
comment on column webhooks.secret_encrypted is 'What signs, encrypted with Fernet; in clear it begins with whsec_.';
comment on column webhooks.format is 'In which form.';
comment on column webhooks.events is 'Of which kinds of events it is told.';
comment on column webhooks.state is 'Whether it is told anything.';
comment on column webhooks.why is 'Why not, when it is disabled.';
comment on column webhooks.created_at is 'When the row was made.';
comment on column webhooks.updated_at is 'When the row last changed.';

create trigger set_updated_at before update on webhooks for each row execute function set_updated_at();

create type delivery_state as enum (
    'pending',    -- to be told, perhaps once more
    'delivered',  -- the receiver has said yes
    'failed',     -- it never did, for days
    'dropped'     -- the webhook was disabled meanwhile
);

comment on type delivery_state is 'What became of a telling.';

create table webhook_deliveries (
    id         uuid primary key default gen_random_uuid(),
    webhook_id uuid not null references webhooks (id) on delete cascade,
    event      text not null,
    at         timestamptz not null,
    data       jsonb not null,
    state      delivery_state not null default 'pending',
    attempts   int not null default 0,
    ended_at   timestamptz
);

comment on table webhook_deliveries is 'What each webhook is to be told, written in the transaction in which it happened.';
comment on column webhook_deliveries.id is 'Goes into the header webhook-id, the same in every attempt.';
comment on column webhook_deliveries.webhook_id is 'Who is told.';
comment on column webhook_deliveries.event is 'Which kind of event, such as auto_paused.';
comment on column webhook_deliveries.at is 'When it happened.';
comment on column webhook_deliveries.data is 'What happened.';
comment on column webhook_deliveries.state is 'What became of it.';
comment on column webhook_deliveries.attempts is 'How often it was tried.';
comment on column webhook_deliveries.ended_at is 'When it was delivered or given up.';

create index webhook_deliveries_pending on webhook_deliveries (at) where state = 'pending';
create index webhook_deliveries_of_webhook on webhook_deliveries (webhook_id, at desc);

create table webhook_attempts (
    delivery_id uuid not null references webhook_deliveries (id) on delete cascade,
    attempt     int not null,
    at          timestamptz not null,
    status      int,
    duration_ms bigint not null,
    error       text,

    primary key (delivery_id, attempt)
);

comment on table webhook_attempts is 'Every attempt to tell.';
comment on column webhook_attempts.delivery_id is 'To tell what.';
comment on column webhook_attempts.attempt is 'Which attempt, from 1.';
comment on column webhook_attempts.at is 'When it ended.';
comment on column webhook_attempts.status is 'The HTTP status; null when no answer came.';
comment on column webhook_attempts.duration_ms is 'How long it took, in milliseconds.';
comment on column webhook_attempts.error is 'What went wrong; null when nothing did.';

create function webhook_event(entity text, from_status text, to_status text, actor text) returns text
language sql immutable
as $$
    select case
        when to_status = 'auto_paused' then 'auto_paused'
        when entity = 'collection' and to_status = 'paused' and actor = 'engine' then 'auto_paused'
        when entity = 'instance' and to_status = 'blocked' then 'instance_blocked'
        when entity in ('schedule', 'collection') and from_status in ('auto_paused', 'paused')
            and to_status in ('active', 'running', 'pending') then 'resumed'
        when entity = 'instance' and from_status = 'blocked' and to_status = 'active' then 'resumed'
        when entity = 'collection' and to_status in ('completed', 'completed_with_errors', 'partial')
            then 'collection_finished'
        when entity = 'collection' and to_status = 'failed' then 'collection_failed'
        when entity = 'user' and to_status in ('needs_reauth', 'client_invalid') then 'needs_reauth'
        when entity = 'schedule_run' and to_status = 'failed' then 'run_failed'
    end
$$;

comment on function webhook_event(text, text, text, text) is 'Which kind of event webhooks are told of, if any, when somebody moves a thing from one status to another.';

-- Whoever writes an event need not know who is told of it.
create function tell_webhooks() returns trigger
language plpgsql
as $$
declare
    kind text := webhook_event(new.entity, new.from_status, new.to_status, new.actor);
begin
    if kind is not null then
        insert into webhook_deliveries (webhook_id, event, at, data)
        select id, kind, new.at, jsonb_build_object(
            'event_id', new.id,
            'entity', new.entity,
            'entity_id', new.entity_id,
            'from', new.from_status,
            'to', new.to_status,
            'actor', new.actor,
            'reason', new.reason,
            'detail', new.detail
        )
        from webhooks
        where state = 'active' and kind = any(events);
    end if;
    return null;
end
$$;

comment on function tell_webhooks() is 'Notes for each webhook that wants it that it is to be told of an event.';

create trigger tell_webhooks after insert on events for each row execute function tell_webhooks();
