-- A credential in use, one never refreshed, one that Amazon has refused.
insert into lwa_credentials
    (user_id, region, lwa_client_id, refresh_token_encrypted, access_token_encrypted, access_token_expires_at,
     token_generation, token_state, token_error, token_refreshed_at)
values
    ('01900000-0000-7000-8000-000000000001', 'na', null,
     'gAAAAABnK1dQv0Qk3m8XbTq1cLr7e5Yd2WnJ4uHs9aPzFgRtVyBxCwEiOoKlMjNhGbFvDcSxZaQ1w2e3r4t5y6u7i8o9p0==',
     'gAAAAABnK1eRk2Lm9QwErTyUiOpAsDfGhJkLzXcVbNmQ0p9o8i7u6y5t4r3e2w1qZaXsWcDeVfRbGtNhYmJuKiLoP==',
     '2025-11-20T09:00:00Z', 812, 'active', null, '2025-11-20T08:00:00Z'),
    ('01900000-0000-7000-8000-000000000002', 'eu', 'amzn1.application-oa2-client.4f1d2c3b4a5968778695a4b3c2d1e0f9',
     'gAAAAABnK1f0mNbVcXzLkJhGfDsApOiUyTrEwQ9a8s7d6f5g4h3j2k1lQwErTyUiOpAsDfGhJkLzXcVbNmQ0p9o8i7==',
     null, null, 0, 'active', null, null),
    ('01900000-0000-7000-8000-000000000003', 'na', null,
     'gAAAAABm9xYzAbCdEfGhIjKlMnOpQrStUvWxYz0123456789aBcDeFgHiJkLmNoPqRsTuVwXyZ0a1b2c3d4e5f6g7h8==',
     null, null, 97, 'needs_reauth', 'invalid_grant: The request has an invalid grant parameter : refresh_token', '2025-06-01T11:59:03Z');
