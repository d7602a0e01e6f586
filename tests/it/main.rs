//! The integration tests: the built program against a real API server and a real (moto) or scripted
//! EC2. One test program, because each one links kube and the AWS SDK.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    clippy::string_slice,
    reason = "a test program: a panic is how a test fails"
)]

mod access;
mod act;
mod acting;
mod agent;
mod architecture;
mod certificates;
mod config;
mod contexts;
mod crds;
mod decommission;
mod demo;
mod deploy;
mod embedded;
mod fetch;
mod find;
mod guide;
mod keys;
mod lifecycle;
mod look;
mod monitor;
mod on_call;
mod providers;
mod pty;
mod readers;
mod render;
mod runner;
mod support;
mod tui;
mod views;
