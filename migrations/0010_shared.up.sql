-- What several tables of the domain share: two trigger functions and the regions.

create function set_updated_at() returns trigger
language plpgsql
as $$
begin
    new.created_at := old.created_at;
    new.updated_at := now();
    return new;
end
$$;

comment on function set_updated_at() is 'Keeps created_at as it was and sets updated_at, whatever an update says.';

create function refuse_change() returns trigger
language plpgsql
as $$
begin
    raise exception 'a row of % never changes', tg_table_name
        using hint = 'Insert another row instead.', errcode = 'restrict_violation';
end
$$;

comment on function refuse_change() is 'Keeps rows as they were written.';

create type amc_region as enum (
    'na',  -- North America
    'eu',  -- Europe, the Middle East and India
    'fe'   -- the Far East and Australia
);

comment on type amc_region is 'Which of Amazon''s hosts answer: those of North America, Europe or the Far East.';
