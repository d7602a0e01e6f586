//! `inv-tui`: the face and the services of a host inventory that lives on a Kubernetes API server.
//!
//! ARCHITECTURE.md has the map. A module imports from its own row or from rows above it:
//! `model` and `error`; `config`; `store` and `providers`; `tasks` and `ui`; `cli`.

pub mod cli;
pub mod config;
pub mod error;
pub mod model;
pub mod providers;
pub mod store;
pub mod tasks;
pub mod ui;
pub mod telemetry;
