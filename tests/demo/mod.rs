//! The commands that show the product: `demo` from nothing to its report, `simulate` by itself.

mod simulate;
mod whole;
