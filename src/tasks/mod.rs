//! The headless tasks: one file each, started by `inv-tui --headless TASK`.

pub mod crds;
pub mod demo;
pub mod fetch;
pub mod http;
pub mod serve;
pub mod signals;
