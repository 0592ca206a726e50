-- A job that has ended before its time.

select engine.finish(array_agg(id), 'cancelled') from engine.jobs where replay_of = 4;
