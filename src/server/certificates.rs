//! placeholder
use serde_json::Value;
use super::auth::User;
/// x
pub fn is_own(_user: &User, _object: &Value) -> bool { false }
