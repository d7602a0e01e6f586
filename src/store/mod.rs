//! The way to the API server: the client, watches that become events, and writes. Everything that
//! this program knows of the fleet passes through here, whichever back end serves it.

pub mod budget;
pub mod certificates;
pub mod client;
pub mod definitions;
pub mod embedded;
pub mod event;
pub mod hosts;
pub mod last;
pub mod lease;
pub mod list;
pub mod objects;
pub mod read;
pub mod retry;
pub mod send;
pub mod told;
pub mod watch;
pub mod write;
