-- A week, its month with weeks missing, and its quarter.
insert into report_data_aggregates
    (workflow_id, instance_id, collection_id, grain, period_start, period_end, metrics, derived, row_count, source_week_count, missing_week_count, source_digest, computed_at)
select '01900000-0000-7000-8000-000000000031', '01900000-0000-7000-8000-000000000021', '01900000-0000-7000-8000-000000000072',
       grain::aggregate_grain, period_start::date, period_end::date, '{"clicks": "4821", "spend": "1930.27", "sales": "0"}', '{"cpc": "0.40", "acos": null}',
       1204, 1, missing, sha256('rows'), timestamptz '2025-10-20T08:31:00Z'
from (values ('week', '2025-09-01', '2025-09-08', 0), ('month', '2025-09-01', '2025-10-01', 3), ('quarter', '2025-07-01', '2025-10-01', 12))
    as a (grain, period_start, period_end, missing);
