//! The promises, end to end: one test program.
