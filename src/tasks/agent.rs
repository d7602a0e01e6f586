//! `inv-tui --headless agent`.

pub mod identity;

use clap::Args;

use crate::error::{Error, Result};
use crate::store::client::ConnectOptions;

/// Run on a host: Ansible runs, maintenance and upgrades of this host.
#[derive(Args, Clone, Debug)]
pub struct AgentArgs {}

/// Runs the task.
///
/// # Errors
/// Whatever keeps it from its work.
pub async fn run(_args: AgentArgs, _server: &ConnectOptions, _namespace: &str) -> Result<u8> {
    Err(Error::new("not built yet"))
}
