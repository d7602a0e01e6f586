//! A small Kubernetes-style API server: the back end for one machine.
//!
//! The rest of the program does not know that it is here: it speaks to it through a
//! `kube::Client`, as to any API server. Inside, each module does one thing:
//!
//! | module | does |
//! | --- | --- |
//! | [`auth`] | who asks, and what they may do |
//! | [`certificates`] | rules and signer of certificate requests |
//! | [`listen`] | the ways in: TLS and a Unix socket |
//! | [`status`] | errors as the `Status` objects that clients read |
//! | [`kind`] | what a served resource is: names, scope, schema, columns |
//! | [`schema`] | structural schemas of CRDs: check, prune, default, validate, CEL |
//! | [`fields`] | managed fields and server-side apply |

pub mod auth;
pub mod certificates;
pub mod fields;
pub mod kind;
pub mod listen;
pub mod schema;
pub mod status;
