-- What schedulers do again and again, and when it was last done: so that it is seen when none lives.

create table duties (
    duty    text primary key,
    done_at timestamptz not null
);

comment on table duties is 'The duties of schedulers: when each was last done, by whichever of them.';
comment on column duties.duty is 'Its word, such as sweep.';
comment on column duties.done_at is 'When it was last done.';
