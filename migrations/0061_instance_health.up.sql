-- When a blocked instance is asked whether it lets us in again, and when a user's instances were last listed.

set local lock_timeout = '10s';

alter table amc_instances
    add column next_probe_at timestamptz,
    add column probes int not null default 0,
    add column is_listed boolean not null default true,
    add constraint probes_is_not_negative check (probes >= 0);

comment on column amc_instances.next_probe_at is 'When the blocked instance is asked again whether it lets us in; null when asking is of no use.';
comment on column amc_instances.probes is 'How often it was asked in vain since it was blocked.';
comment on column amc_instances.is_listed is 'Whether AMC listed it when it was last asked for its instances.';

-- Those that were blocked before there were probes.
update amc_instances set next_probe_at = engine.now() where status = 'blocked';

-- Serves the search for instances to be asked.
create index amc_instances_to_probe on amc_instances (next_probe_at) where status = 'blocked';

alter table lwa_credentials add column instances_synced_at timestamptz;

comment on column lwa_credentials.instances_synced_at is 'When the accounts and instances that the user may use were last taken over from AMC.';
