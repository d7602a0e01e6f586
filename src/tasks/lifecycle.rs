//! `inv-tui --headless lifecycle`.

use clap::Args;

use crate::error::{Error, Result};
use crate::store::client::ConnectOptions;

/// Derive phase and conditions, end holds that ran out, count clusters and regions.
#[derive(Args, Clone, Debug)]
pub struct LifecycleArgs {}

/// Runs the task.
///
/// # Errors
/// Whatever keeps it from its work.
pub async fn run(_args: LifecycleArgs, _server: &ConnectOptions, _namespace: &str) -> Result<u8> {
    Err(Error::new("not built yet"))
}
