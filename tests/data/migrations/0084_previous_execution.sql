-- A week that was looked at again, and one that still is.
update report_data_weeks set last_checked_at = '2025-10-28T08:00:00Z'
where previous_execution_id is not null;
