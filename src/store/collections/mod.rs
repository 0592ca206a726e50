//! `report_data_collections`: backfills, each one query over many slices of time.

mod lookup;
mod progress;
mod row;

pub use lookup::{Names, names, same_unfinished};
pub use progress::{Progress, finish_if_done, progress};
pub use row::{
    Collection, CollectionGrain, CollectionKind, CollectionStatus, NewCollection, NewWeek,
    by_collection_id, by_id, insert, list, set_last_error,
};
