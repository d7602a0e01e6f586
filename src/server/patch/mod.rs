//! Patches.
use serde_json::Value;
use super::status::ApiResult;
#[derive(Clone,Copy,PartialEq,Eq,Debug)] pub enum Format{Json,Merge,Strategic,Apply}
impl Format{ pub fn of(_c:Option<&str>,_custom:bool)->ApiResult<Self>{Ok(Self::Merge)} }
pub fn patched(_f:Format,_old:&Value,_p:&Value)->ApiResult<Value>{Ok(Value::Null)}
