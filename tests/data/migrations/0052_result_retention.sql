-- A result of which only the counts are left.
update execution_results
set rows = null, storage_uri = null, truncated = true, expired_at = '2025-11-23T08:00:00Z'
where execution_id = '01900000-0000-7000-8000-000000000097';
