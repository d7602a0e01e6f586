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
//! | [`selector`] | label and field selectors |
//! | [`body`] | request bodies and what the answer is written as |
//! | [`protobuf`] | protobuf bodies of built-in kinds |
//! | [`builtin`] | the kinds that are served without a CRD |
//! | [`jsonpath`] | paths of printer columns |
//! | [`table`] | objects as kubectl prints them, and their metadata alone |
//! | [`discovery`] | which kinds there are |
//! | [`openapi`] | what they look like |

pub mod auth;
pub mod body;
pub mod builtin;
pub mod discovery;
pub mod fields;
pub mod jsonpath;
pub mod kind;
pub mod openapi;
pub mod protobuf;
pub mod schema;
pub mod selector;
pub mod status;
pub mod table;
