//! A small Kubernetes-style API server: the back end for one machine.
//!
//! The rest of the program does not know that it is here: it speaks to it through a
//! `kube::Client`, as to any API server. Inside, each module does one thing:
//!
//! | module | does |
//! | --- | --- |
//! | [`auth`] | who asks, and what they may do |
//! | [`status`] | errors as the `Status` objects that clients read |
//! | [`kind`] | what a served resource is: names, scope, schema, columns |
//! | [`schema`] | structural schemas of CRDs: check, prune, default, validate, CEL |
//! | [`fields`] | managed fields and server-side apply |
//! | [`patch`] | JSON patch, merge patch, strategic merge patch |

pub mod auth;
pub mod fields;
pub mod kind;
pub mod patch;
pub mod schema;
pub mod status;
