//! The conformance suite: what inv-tui, kubectl, the Python client, k9s and Ansible rely on, asked
//! of a server over the wire.
//!
//! It knows the Kubernetes API and no back end: neither the library of this crate nor, but for
//! the `kube_rs` module, a client library. The same cases run on a real kube-apiserver and on
//! the server inside inv-tui; the differences that are meant are in one table, `differences`.
//!
//! By hand, on a real control plane:
//!
//! ```sh
//! tests/control-plane/run start /tmp/cp
//! INV_TUI_TEST_KUBECONFIG=/tmp/cp/admin.kubeconfig cargo test --test conformance
//! tests/control-plane/run stop /tmp/cp
//! ```
//!
//! and on the embedded server:
//!
//! ```sh
//! inv-tui --headless serve --data-dir /tmp/data --write-kubeconfig /tmp/kubeconfig &
//! INV_TUI_TEST_TARGET=embedded INV_TUI_TEST_KUBECONFIG=/tmp/kubeconfig \
//!     cargo test --test conformance
//! ```
//!
//! | variable | is |
//! | --- | --- |
//! | `INV_TUI_TEST_KUBECONFIG` | kubeconfig of an administrator; without it no case runs |
//! | `INV_TUI_TEST_TARGET` | `kube-apiserver` (default) or `embedded`: which differences are meant |
//! | `INV_TUI_REQUIRE_ALL` | if set, a missing kubeconfig is a failure |
//!
//! A case is a function: `case(async |t| …)`. It gets an administrator's client, a namespace of its
//! own and three kinds (see `world`), which the last case of a run deletes again. Cases run side by
//! side in any order and wait for values, each with a deadline. What they compare are codes,
//! reasons, `details` and the fields of causes; never prose.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    clippy::too_many_lines,
    clippy::needless_pass_by_value,
    clippy::format_push_string,
    clippy::similar_names,
    reason = "a test program: a panic is how a case fails; path and patch are the API's words"
)]

mod client;
mod differences;
mod world;

mod protobuf;

mod access;
mod apply;
mod builtins;
mod crds;
mod create;
mod delete;
mod discovery;
mod dry_run;
mod errors;
mod hostile;
mod kube_rs;
mod list;
mod negotiation;
mod openapi;
mod patch;
mod paths;
mod selectors;
mod status;
mod table;
mod transport;
mod update;
mod watch;
