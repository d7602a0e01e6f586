//! `inv-tui --headless approve`.

use clap::Args;

use crate::error::{Error, Result};
use crate::store::client::ConnectOptions;

/// Approve certificate requests of hosts by a written policy.
#[derive(Args, Clone, Debug)]
pub struct ApproveArgs {}

/// Runs the task.
///
/// # Errors
/// Whatever keeps it from its work.
pub async fn run(_args: ApproveArgs, _server: &ConnectOptions, _namespace: &str) -> Result<u8> {
    Err(Error::new("not built yet"))
}
