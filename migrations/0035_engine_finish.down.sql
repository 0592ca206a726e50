-- Takes away the way to the history.

drop function engine.finish(bigint[], engine.job_state, text[], int);
