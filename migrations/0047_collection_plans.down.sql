-- Takes away what 0047_collection_plans.up.sql made.

set local lock_timeout = '10s';

drop index report_data_collections_of_plan;
alter table report_data_collections drop column plan_id;
drop table collection_plans;
