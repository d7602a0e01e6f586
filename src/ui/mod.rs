//! The explorer: state, update, view. Messages change the state in one pure function; views are
//! pure functions of the state; effects are commands that run outside and come back as messages.

pub mod actions;
pub mod app;
pub mod background;
pub mod clipboard;
pub mod configured;
pub mod guide;
mod keep;
pub mod keymap;
pub mod line;
pub mod msg;
pub mod outside;
pub mod reload;
pub mod run;
mod save;
pub mod snapshot;
pub mod start;
pub mod terminal;
pub mod theme;
pub mod view;

#[cfg(test)]
pub(crate) mod testing;
