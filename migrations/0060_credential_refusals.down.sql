-- Takes away what 0060_credential_refusals.up.sql made.

set local lock_timeout = '10s';

alter table lwa_credentials
    drop constraint refused_young_is_not_negative,
    drop column refused_young,
    drop column grant_refused_at;
