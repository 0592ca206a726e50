-- One that a tenth of failed weeks pauses, whatever their number, and that has seen two.
update report_data_collections set max_failed_weeks = null, max_failed_percent = 10, failures = 2
where collection_id = 'col_2025_campaigns';
