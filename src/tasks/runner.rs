//! `inv-tui --headless runner`.

use clap::Args;

use crate::error::{Error, Result};
use crate::store::client::ConnectOptions;

/// Run Ansible over ssh for hosts without an agent.
#[derive(Args, Clone, Debug)]
pub struct RunnerArgs {}

/// Runs the task.
///
/// # Errors
/// Whatever keeps it from its work.
pub async fn run(_args: RunnerArgs, _server: &ConnectOptions, _namespace: &str) -> Result<u8> {
    Err(Error::new("not built yet"))
}
