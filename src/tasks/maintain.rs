//! `inv-tui --headless maintain`.

use clap::Args;

use crate::error::{Error, Result};
use crate::store::client::ConnectOptions;

/// Put hosts into maintenance, or end it.
#[derive(Args, Clone, Debug)]
pub struct MaintainArgs {}

/// Runs the task.
///
/// # Errors
/// Whatever keeps it from its work.
pub async fn run(_args: MaintainArgs, _server: &ConnectOptions, _namespace: &str) -> Result<u8> {
    Err(Error::new("not built yet"))
}
