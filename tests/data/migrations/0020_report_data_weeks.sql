-- The 52 weeks of the collection under way, and slices of the others that stand everywhere a week can stand.
insert into report_data_weeks (collection_id, week_start_date, week_end_date, slice_key)
select '01900000-0000-7000-8000-000000000071', day::date, day::date + 7, sha256(convert_to('campaigns ' || day::date, 'UTF8'))
from generate_series(date '2024-11-04', date '2025-10-27', interval '7 days') as day;

insert into report_data_weeks
    (id, collection_id, week_start_date, week_end_date, slice_key, status, attempts, error_message, started_at, completed_at)
values
    ('01900000-0000-7000-8000-000000000081', '01900000-0000-7000-8000-000000000073', '2025-06-01', '2025-06-02', sha256('2025-06-01'), 'skipped', 0, 'no data before the instance was made', null, '2025-07-01T08:00:01Z'),
    ('01900000-0000-7000-8000-000000000082', '01900000-0000-7000-8000-000000000073', '2025-06-02', '2025-06-03', sha256('2025-06-02'), 'cancelled', 1, null, '2025-07-01T08:00:01Z', '2025-07-01T08:20:00Z'),
    ('01900000-0000-7000-8000-000000000083', '01900000-0000-7000-8000-000000000073', '2025-06-03', '2025-06-04', sha256('2025-06-03'), 'failed', 5, 'AMC could not compile the query', '2025-07-01T08:00:01Z', '2025-07-01T09:00:00Z'),
    ('01900000-0000-7000-8000-000000000084', '01900000-0000-7000-8000-000000000074', '2025-08-01', '2025-09-01', sha256('de 2025-08'), 'blocked', 1, 'Terms and conditions must be accepted to continue.', '2025-11-01T08:00:00Z', null),
    ('01900000-0000-7000-8000-000000000085', '01900000-0000-7000-8000-000000000072', '2025-09-01', '2025-09-08', sha256('2025-09-01'), 'running', 1, null, '2025-10-20T08:00:00Z', null);
