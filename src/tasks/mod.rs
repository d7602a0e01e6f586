//! The headless tasks: one file each, started by `inv-tui --headless TASK`.

pub mod crds;
pub mod demo;
pub mod fetch;
pub mod serve;
pub mod http;
