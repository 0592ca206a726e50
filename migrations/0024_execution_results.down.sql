-- Takes away the results.

drop table execution_results;
