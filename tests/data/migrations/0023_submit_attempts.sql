-- Requests with every outcome, and one that may be on the wire.
insert into submit_attempts (execution_id, n, client_ref, started_at, ended_at, outcome, http_status, request_id, detail) values
    ('01900000-0000-7000-8000-000000000092', 1, 'eng-92-1', '2025-10-20T08:00:02Z', null, null, null, null, null),
    ('01900000-0000-7000-8000-000000000093', 1, 'eng-93-1', '2025-10-20T08:00:02Z', '2025-10-20T08:00:32Z', 'unknown', 504, '7f1c2d9e-22aa-11f0-9b10-0242ac120002', 'Endpoint request timed out'),
    ('01900000-0000-7000-8000-000000000094', 1, 'eng-94-0', '2025-10-20T07:58:02Z', '2025-10-20T07:58:03Z', 'refused', 429, null, 'Too Many Requests'),
    ('01900000-0000-7000-8000-000000000094', 2, 'eng-94-1', '2025-10-20T08:00:02Z', '2025-10-20T08:00:03Z', 'accepted', 200, '7f1c2d9e-22aa-11f0-9b10-0242ac120003', null),
    ('01900000-0000-7000-8000-000000000095', 1, 'eng-95-1', '2025-10-20T08:00:02Z', '2025-10-20T08:02:47Z', 'reconciled_found', null, null, 'connection reset by peer'),
    ('01900000-0000-7000-8000-000000000096', 1, 'eng-96-0', '2025-10-20T07:55:00Z', '2025-10-20T07:58:00Z', 'reconciled_absent', null, null, 'timed out after 60 s'),
    ('01900000-0000-7000-8000-000000000097', 1, 'eng-97-1', '2025-10-20T08:00:02Z', '2025-10-20T08:00:03Z', 'accepted', 200, null, null);
