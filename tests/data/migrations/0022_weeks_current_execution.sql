-- A week with its rows, and weeks that point to the execution that did not do it.
update report_data_weeks
set status = 'succeeded', workflow_execution_id = '01900000-0000-7000-8000-000000000097', row_count = 1204,
    data_checksum = sha256('rows'), schema_checksum = sha256('columns'), metrics = '{"clicks": "4821", "spend": "1930.27"}',
    data_version = 1, completed_at = '2025-10-20T08:06:00Z'
where id = '01900000-0000-7000-8000-000000000085';

update report_data_weeks set workflow_execution_id = '01900000-0000-7000-8000-000000000098' where id = '01900000-0000-7000-8000-000000000083';
update report_data_weeks set workflow_execution_id = '01900000-0000-7000-8000-00000000009a' where id = '01900000-0000-7000-8000-000000000082';
