-- How many weeks of a collection may fail before it is paused.

set local lock_timeout = '10s';

alter table report_data_collections
    add column max_failed_weeks int default 3,
    add column max_failed_percent int,
    add column failures int not null default 0,
    add constraint max_failed_weeks_is_positive check (max_failed_weeks > 0),
    add constraint max_failed_percent_is_a_percentage check (max_failed_percent between 1 and 100),
    add constraint failures_is_not_negative check (failures >= 0);

comment on column report_data_collections.max_failed_weeks is 'So many failed weeks pause it; null when their number never does.';
comment on column report_data_collections.max_failed_percent is 'So many percent of failed weeks pause it; null when their share never does.';
comment on column report_data_collections.failures is 'How many weeks have failed since it began, or since it last went on.';
