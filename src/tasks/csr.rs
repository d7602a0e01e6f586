//! `inv-tui --headless csr`.

use clap::Args;

use crate::error::{Error, Result};
use crate::store::client::ConnectOptions;

/// List, approve or deny certificate requests.
#[derive(Args, Clone, Debug)]
pub struct CsrArgs {}

/// Runs the task.
///
/// # Errors
/// Whatever keeps it from its work.
pub async fn run(_args: CsrArgs, _server: &ConnectOptions, _namespace: &str) -> Result<u8> {
    Err(Error::new("not built yet"))
}
