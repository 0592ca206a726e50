-- Results are kept for so long: their rows and files go, what was counted and checked stays.

set local lock_timeout = '10s';

alter table execution_results
    add column expired_at timestamptz,
    drop constraint truncated_is_stored_elsewhere,
    add constraint truncated_is_stored_elsewhere check (
        not truncated or storage_uri is not null or expired_at is not null
    ),
    add constraint expired_has_nothing_left check (
        expired_at is null or (rows is null and storage_uri is null)
    );

comment on column execution_results.expired_at is 'When its rows and files were dropped, because they had been kept long enough; null while they are there.';

-- Serves whoever drops them.
create index execution_results_kept on execution_results (fetched_at) where expired_at is null;
