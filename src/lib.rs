//! `inv-tui`: the face and the services of a host inventory that lives on a Kubernetes API server.
//!
//! ARCHITECTURE.md has the map. A module imports from its own row or from rows above it:
//! `model`, `error`, `guard` and `files`; `config`, `journal` and `telemetry`; `store`, `providers` and `server`;
//! `act`; `tasks` and `ui`; `cli`.

#![cfg_attr(
    test,
    allow(clippy::string_slice, clippy::too_many_lines, reason = "a panic is how a test fails")
)]

pub mod act;
pub mod cli;
pub mod config;
pub mod error;
pub mod files;
pub mod guard;
pub mod journal;
pub mod model;
pub mod providers;
pub mod server;
pub mod store;
pub mod tasks;
pub mod telemetry;
pub mod ui;
