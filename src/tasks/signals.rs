//! How a service is asked to stop.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::error::{Error, Result};

/// Becomes true on SIGTERM or SIGINT. A second signal ends the process at once.
///
/// # Errors
/// The system does not let us listen for signals.
pub fn signals(stopping: &'static str) -> Result<watch::Receiver<bool>> {
    let fail = |cause| Error::new("cannot listen for signals").because(cause);
    let mut terminate = signal(SignalKind::terminate()).map_err(fail)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first {
                tracing::info!("{stopping}");
                sender.send_replace(true);
            } else {
                #[expect(clippy::exit, reason = "a person asked twice")]
                std::process::exit(i32::from(crate::error::EXIT_FAILED));
            }
        }
    });
    Ok(receiver)
}
