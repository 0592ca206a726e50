-- A plan of two collections that are there already.
insert into collection_plans (id, plan_id, name, asked_by) values
    ('01900000-0000-7000-8000-000000000091', 'plan_autumn', 'Autumn, two of them', 'backfill');
update report_data_collections
set plan_id = '01900000-0000-7000-8000-000000000091'
where collection_id in ('col_2025_campaigns', 'col_2025_autumn');
