-- Takes away what 0051_event_retention.up.sql made.

set local lock_timeout = '10s';

drop function prune_events(interval, int);
drop trigger refuse_delete on events;
drop trigger refuse_update on events;
create trigger refuse_change before update or delete on events for each row execute function refuse_change();

comment on table events is 'The journal of the domain. A row never changes and is never deleted.';
