-- The journal is kept for so long: one function may delete what is older, and nothing else may.

set local lock_timeout = '10s';

drop trigger refuse_change on events;
create trigger refuse_update before update on events for each row execute function refuse_change();
create trigger refuse_delete before delete on events for each row
    when (current_setting('recomamp.pruning', true) is distinct from 'on')
    execute function refuse_change();

create function prune_events(retention interval, at_most int) returns bigint
language plpgsql
set recomamp.pruning = 'on'
as $$
declare
    pruned bigint;
begin
    delete from events
    where id in (
        select id
        from events
        where at < (select engine.now()) - retention
        order by at
        limit at_most
    );
    get diagnostics pruned = row_count;
    return pruned;
end
$$;

comment on function prune_events(interval, int) is 'Deletes the oldest events that are older than the retention, at most so many; returns how many.';
comment on table events is 'The journal of the domain. A row never changes, and goes only by prune_events.';
