//! What explain concludes from facts, without a store.
