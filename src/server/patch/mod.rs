//! Patches other than server-side apply, from an object and a patch to a new object. None of them
//! knows kinds, and none checks the result.

mod format;
mod json;
mod merge;
mod strategic;

#[cfg(test)]
mod tests;

pub use format::{Format, patched};
pub use json::json;
pub use merge::merge;
pub use strategic::strategic;
