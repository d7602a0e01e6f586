//! F.
use serde_json::Value;
use super::status::ApiResult; use super::schema::Schema;
pub struct Writer<'a> { pub manager: &'a str, pub api_version: &'a str, pub subresource: &'a str, pub now: jiff::Timestamp }
pub fn record_update(_live: Option<&Value>, _new: &mut Value, _schema: &Schema, _writer: &Writer<'_>){}
pub fn apply(_live: Option<&Value>, config: &Value, _schema: &Schema, _writer: &Writer<'_>, _force: bool) -> ApiResult<Value>{Ok(config.clone())}
pub fn unchanged(a:&Value,b:&Value)->bool{a==b}
