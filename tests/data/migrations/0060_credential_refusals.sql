-- A credential that Amazon has refused once, and whose tokens do not last.
update lwa_credentials set grant_refused_at = '2025-11-24T08:00:00Z', refused_young = 2;
