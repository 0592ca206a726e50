-- Takes away what 0052_result_retention.up.sql made. What has expired stays so: it is then a result of
-- which nothing was kept.

set local lock_timeout = '10s';

drop index execution_results_kept;

update execution_results set truncated = false where expired_at is not null;

alter table execution_results
    drop constraint expired_has_nothing_left,
    drop constraint truncated_is_stored_elsewhere,
    add constraint truncated_is_stored_elsewhere check (not truncated or storage_uri is not null),
    drop column expired_at;
