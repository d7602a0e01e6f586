//! The pages of a list of NetBox.
//!
//! Since 4.6 a list can be read by cursor: `start` is an id, items come ordered by it, `count` is
//! null. Older servers do not know `start`: they ignore it and send a count, or refuse it with 400.
//! These are read by offset, ordered by id; see [`Overlap`].

use std::sync::atomic::Ordering;

use serde_json::Value;

use super::{NetBox, results};
use crate::providers::ProviderError;
use crate::providers::pages::{Overlap, odd};

/// Items in one page: the most that a NetBox allows unless it is told otherwise.
const PAGE: u64 = 1000;

/// Reads a list page by page.
pub(super) struct Pager {
    what: &'static str,
    path: &'static str,
    query: String,
    at: At,
}

enum At {
    /// By cursor, from this id on.
    Cursor(u64),
    /// By offset.
    Offset(Overlap),
    End,
}

impl Pager {
    /// A reader of the list at `path`.
    pub(super) fn new(what: &'static str, path: &'static str, query: String) -> Self {
        Self { what, path, query, at: At::Cursor(0) }
    }

    /// The next page; none after the last one.
    pub(super) async fn next(
        &mut self,
        netbox: &NetBox,
    ) -> Result<Option<Vec<Value>>, ProviderError> {
        loop {
            if netbox.no_cursors.load(Ordering::Relaxed) && matches!(self.at, At::Cursor(0)) {
                self.at = At::Offset(Overlap::default());
            }
            let page = match &mut self.at {
                At::End => return Ok(None),
                At::Cursor(start) => {
                    let start = *start;
                    self.by_cursor(netbox, start).await?
                }
                At::Offset(place) => {
                    let place = std::mem::take(place);
                    self.by_offset(netbox, place).await?
                }
            };
            if let Some(items) = page {
                return Ok(Some(items));
            }
        }
    }

    async fn by_cursor(
        &mut self,
        netbox: &NetBox,
        start: u64,
    ) -> Result<Option<Vec<Value>>, ProviderError> {
        let query = format!("{}&limit={PAGE}&start={start}", self.query);
        let accept: &[u16] = if start == 0 { &[400] } else { &[] };
        let mut answer = netbox.get(self.what, self.path, &query, accept).await?;
        let counted = answer.body.get("count").is_some_and(Value::is_number);
        if !answer.status.is_success() || counted {
            if start != 0 {
                return Err(odd(self.what, "the server changed its way of paging"));
            }
            netbox.no_cursors.store(true, Ordering::Relaxed);
            self.at = At::Offset(Overlap::default());
            return Ok(None);
        }
        let items = results(self.what, &mut answer.body)?;
        let last = items.iter().filter_map(|item| item.get("id")?.as_u64()).max();
        if last.is_some_and(|last| last < start) {
            return Err(odd(self.what, "the server sent other items than those asked for"));
        }
        self.at = match answer.body.get("next").and_then(Value::as_str) {
            None => At::End,
            Some(_) if items.is_empty() => {
                return Err(odd(
                    self.what,
                    "the server says that there is more, and does not send it",
                ));
            }
            Some(next) => match start_of(next) {
                // neither in circles nor past what has not been sent
                Some(next) if next > start && last.is_none_or(|last| next > last) => {
                    At::Cursor(next)
                }
                _ => return Err(odd(self.what, "the next page does not come after this one")),
            },
        };
        Ok(Some(items))
    }

    async fn by_offset(
        &mut self,
        netbox: &NetBox,
        mut place: Overlap,
    ) -> Result<Option<Vec<Value>>, ProviderError> {
        let query = format!("{}&limit={PAGE}&offset={}&ordering=id", self.query, place.offset());
        let mut answer = netbox.get(self.what, self.path, &query, &[]).await?;
        let mut items = results(self.what, &mut answer.body)?;
        let count = answer.body.get("count").and_then(Value::as_u64).unwrap_or(0);
        let read = place.offset().saturating_add(u64::try_from(items.len()).unwrap_or(0));
        let more = answer.body.get("next").is_some_and(Value::is_string) || read < count;
        let end = place.take(self.what, &mut items, PAGE, more)?;
        self.at = if end == Some(true) { At::End } else { At::Offset(place) };
        Ok(end.map(|_| items))
    }
}

/// The value of `start` in the address of the next page.
fn start_of(url: &str) -> Option<u64> {
    let (_, query) = url.split_once('?')?;
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == "start")?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_is_read_from_the_next_address() {
        assert_eq!(start_of("https://nb/api/dcim/devices/?limit=1000&start=4711"), Some(4711));
        assert_eq!(start_of("https://nb/api/dcim/devices/?limit=1000&offset=1000"), None);
        assert_eq!(start_of("nonsense"), None);
    }
}
