-- One that goes back from today, two weeks at a time; a week of it was handed back before it was sent.
update report_data_collections set feed_order = 'newest_first', max_queued_weeks = 2
where collection_id = 'col_2025_campaigns';
update report_data_weeks set queued_at = null
where collection_id = '01900000-0000-7000-8000-000000000071' and week_start_date < '2025-10-20';
update report_data_weeks set attempts = 1, attempts_forgiven = 1
where collection_id = '01900000-0000-7000-8000-000000000071' and week_start_date = '2025-10-20';
