-- A small result kept whole.
insert into execution_results
    (execution_id, columns, schema_sha256, row_count, byte_count, file_count, content_sha256, storage_uri, rows, suppressed_values, fetched_at)
values
    ('01900000-0000-7000-8000-000000000097', '[{"name": "campaign_id", "type": "LONG"}, {"name": "clicks", "type": "LONG"}]',
     sha256('columns'), 2, 61, 1, sha256('rows'), 'file:///var/lib/recomamp/results/97.csv.gz', '[["3141592653589793238", "12"], ["2718281828459045235", null]]', 1, '2025-10-20T08:06:00Z');
