-- Takes away the aggregates.

drop table report_data_aggregates;
drop type aggregate_grain;
