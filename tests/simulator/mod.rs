//! What the simulated Amazon promises, over real HTTP and with a clock moved by hand.

mod access;
mod contract;
mod desk;
mod executions;
mod faults;
mod results;
mod running;
mod storm;
mod tokens;
mod workflows;
