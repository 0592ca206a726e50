-- Takes away the clock and the engine's schema.

drop schema engine cascade;
