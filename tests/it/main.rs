//! The integration tests: one program, because each one links kube and the AWS SDK again.

mod architecture;
mod crds;
mod pty;
mod support;
mod tui;
