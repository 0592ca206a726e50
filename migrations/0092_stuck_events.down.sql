-- Takes away what 0092_stuck_events.up.sql made. A webhook that wants nothing else still names it, in vain.

set local lock_timeout = '10s';

create or replace function webhook_event(entity text, from_status text, to_status text, actor text) returns text
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

update webhooks set events = array_remove(events, 'stuck') where cardinality(events) > 1;
