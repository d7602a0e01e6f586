//! `inv-tui --headless run`.

use clap::Args;

use crate::error::{Error, Result};
use crate::store::client::ConnectOptions;

/// Ask for an Ansible run on hosts.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {}

/// Runs the task.
///
/// # Errors
/// Whatever keeps it from its work.
pub async fn run(_args: RunArgs, _server: &ConnectOptions, _namespace: &str) -> Result<u8> {
    Err(Error::new("not built yet"))
}
