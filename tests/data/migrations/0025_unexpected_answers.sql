-- A page where JSON was expected, and an answer about no execution.
insert into unexpected_answers (execution_id, operation, http_status, body, seen_at) values
    ('01900000-0000-7000-8000-000000000094', 'get_execution', 200, '<html><body><h1>We will be back soon</h1></body></html>', '2025-10-20T08:01:00Z'),
    (null, 'list_accounts', 200, '', '2025-10-20T08:01:07Z');
