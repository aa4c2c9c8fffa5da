//! What several integration tests share. Each test binary uses a part of it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod cluster;
pub mod contract;
pub mod exec_contract;
pub mod fake;
pub mod subject;
