//! The headless tasks: one file each, started by `inv-tui --headless TASK`.

pub mod agent;
pub mod ansible_inventory;
pub mod approve;
pub mod crds;
pub mod csr;
pub mod decommission;
pub mod demo;
pub mod doctor;
pub mod execute;
pub mod fetch;
pub mod get;
mod hooks;
pub mod http;
mod jobs;
pub mod label;
pub mod lifecycle;
pub mod maintain;
pub mod monitor;
mod reach;
pub mod run;
pub mod runner;
pub mod select;
pub mod serve;
mod shell;
pub mod signals;
