-- One in use, one at an address of its own, one whose terms nobody has accepted, one switched off.
insert into amc_instances (id, instance_id, instance_name, account_id, endpoint_url, status, block_reason, last_listed_at) values
    ('01900000-0000-7000-8000-000000000021', 'amcibersblt', 'Iber SB', '01900000-0000-7000-8000-000000000011', null, 'active', null, '2025-11-20T08:14:40Z'),
    ('01900000-0000-7000-8000-000000000022', 'amcsandbox01', 'Sandbox', '01900000-0000-7000-8000-000000000011', 'http://127.0.0.1:8099', 'active', null, null),
    ('01900000-0000-7000-8000-000000000023', 'amcde7kq2zx', 'Deutschland', '01900000-0000-7000-8000-000000000012', null, 'blocked', 'Terms and conditions must be accepted to continue.', null),
    ('01900000-0000-7000-8000-000000000024', 'amcparkold1', 'Park Goods', '01900000-0000-7000-8000-000000000013', null, 'disabled', null, null);
