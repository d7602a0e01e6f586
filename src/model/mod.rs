//! What the fleet is made of: the resources as Rust types, and the pure rules over them.
//!
//! Nothing here knows a client, a clock, a file or a screen. `kube` and `k8s-openapi` are used for
//! their types only.

pub mod budget;
pub mod change;
pub mod changes;
pub mod cluster;
pub mod column;
pub mod condition;
pub mod csr;
pub mod decommission;
pub mod diff;
pub mod duration;
pub mod explain;
pub mod filter;
pub mod groups;
pub mod host;
pub mod hostvars;
pub mod identity;
pub mod intern;
pub mod inventory;
pub mod jsonpath;
pub mod key;
pub mod labels;
pub mod lifecycle;
pub mod policy;
pub mod record;
pub mod region;
pub mod render;
pub mod row;
pub mod sample;
pub mod selection;
pub mod shape;
pub mod silence;
pub mod source;
pub mod targets;
pub mod template;
pub mod text;
pub mod yaml;

/// API group of every resource of ours.
pub const GROUP: &str = "inventory.inv-tui.dev";
/// The one version served so far.
pub const VERSION: &str = "v1alpha1";
/// Namespace used when nobody names one.
pub const DEFAULT_NAMESPACE: &str = "inventory";
