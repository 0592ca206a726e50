-- Groups: many members, one rule, and what follows once. A group's counters stand on its own row, so
-- that asking how far it is costs the same for three members as for a million.

set local lock_timeout = '10s';

create table engine.groups (
    id         bigint generated always as identity primary key,
    name       text not null unique,
    rule       text not null,
    at_least   int,
    reopens    boolean not null,
    made_at    timestamptz not null,
    sealed_at  timestamptz,
    deadline   timestamptz,
    state      text not null default 'open',
    why        text,
    decided_at timestamptz,
    total      bigint not null default 0,
    open       bigint not null default 0,
    done       bigint not null default 0,
    discarded  bigint not null default 0,
    cancelled  bigint not null default 0,
    fired      int not null default 0,
    seen_done  bigint not null default 0,
    superseded boolean not null default false,
    follow_up  jsonb not null,
    if_failed  jsonb not null,
    feeds      bigint[] not null,

    constraint rule_is_known check (rule in ('all_done', 'all_finished', 'at_least')),
    constraint at_least_has_its_number check ((rule = 'at_least') = (at_least is not null)),
    constraint state_is_known check (state in ('open', 'met', 'failed')),
    constraint decided_with_a_reason check (
        (state = 'open') = (decided_at is null) and (decided_at is null) = (why is null)
    ),
    constraint every_member_is_counted_once check (
        total = open + done + discarded + cancelled
        and open >= 0 and done >= 0 and discarded >= 0 and cancelled >= 0
    )
) with (
    -- Every end of a member updates the one row of its group: leave room to do it in place.
    fillfactor = 50
);

comment on table engine.groups is 'Sets of members whose follow-up is enqueued once, when a rule is met or cannot be met any more.';
comment on column engine.groups.id is 'Names the group for ever. Rows are locked in this order.';
comment on column engine.groups.name is 'Names it for those who made it, such as collection:<id>.';
comment on column engine.groups.rule is 'When it is met: all_done, all_finished, or at_least so many done.';
comment on column engine.groups.at_least is 'How many are to be done under the rule at_least.';
comment on column engine.groups.reopens is 'Whether the follow-up is enqueued again when a member is done after it was decided.';
comment on column engine.groups.made_at is 'When it was made.';
comment on column engine.groups.sealed_at is 'When all members were known. Before that the rule decides nothing.';
comment on column engine.groups.deadline is 'It fails if it is not decided by then.';
comment on column engine.groups.state is 'open; met, when the rule was met; failed, when it could not be met any more.';
comment on column engine.groups.why is 'Why it was decided so, in a sentence.';
comment on column engine.groups.decided_at is 'When it was decided, or last decided again.';
comment on column engine.groups.total is 'How many members it has.';
comment on column engine.groups.open is 'Members that have not ended.';
comment on column engine.groups.done is 'Members that ended well.';
comment on column engine.groups.discarded is 'Members that were given up.';
comment on column engine.groups.cancelled is 'Members that were stopped by a person.';
comment on column engine.groups.fired is 'How often the follow-up was enqueued: once, and once more each time it was reopened.';
comment on column engine.groups.seen_done is 'How many members were done when it was last decided; those beyond came late.';
comment on column engine.groups.superseded is 'Whether a member was done after it was decided, and nothing followed from that.';
comment on column engine.groups.follow_up is 'The jobs to enqueue when it is met.';
comment on column engine.groups.if_failed is 'The jobs to enqueue when it fails.';
comment on column engine.groups.feeds is 'The groups that these jobs are members of; locked together with it.';

-- Serves the sweep for deadlines.
create index groups_with_a_deadline on engine.groups (deadline)
    where state = 'open' and deadline is not null;
-- Serves the forgetting of old groups.
create index groups_decided on engine.groups (decided_at) where decided_at is not null;

-- Without a foreign key: whoever adds a member holds the lock on its group, and 260,000 checks cost seconds.
create table engine.members (
    group_id bigint not null,
    name     text not null,
    state    engine.job_state,
    ended_at timestamptz,

    primary key (group_id, name),
    constraint ended_in_a_final_state check (
        state in ('done', 'discarded', 'cancelled') and (state is null) = (ended_at is null)
    )
) with (fillfactor = 80);

comment on table engine.members is 'What groups wait for. Written only under the lock on the group''s row.';
comment on column engine.members.group_id is 'The group.';
comment on column engine.members.name is 'job:<id> for a job that is a member itself; else the name it was given.';
comment on column engine.members.state is 'How it ended: done, discarded or cancelled; null while it is open.';
comment on column engine.members.ended_at is 'When it ended, or ended otherwise than before.';

alter table engine.jobs
    add column group_id bigint,
    add column member   text,
    add constraint member_of_a_group check (member is null or group_id is not null);

comment on column engine.jobs.group_id is 'The group that waits for it.';
comment on column engine.jobs.member is 'The member in whose name it works; null when it is a member itself.';

-- Serves the question whether another job works in the name of a member.
create index jobs_by_member on engine.jobs (group_id, member) where group_id is not null;

alter table engine.jobs_history
    add column group_id bigint,
    add column member   text;

comment on column engine.jobs_history.group_id is 'The group that waited for it.';
comment on column engine.jobs_history.member is 'The member in whose name it worked; null when it was a member itself.';
