//! Backfills in bad weather.
