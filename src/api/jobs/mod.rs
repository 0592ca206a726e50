//! `/v1/jobs`: the jobs of the queue.

pub mod steer;
