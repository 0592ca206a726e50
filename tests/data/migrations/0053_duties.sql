-- A scheduler that was there an hour ago.
insert into duties (duty, done_at) values ('sweep', '2025-11-23T08:00:00Z');
