//! Lists that are read by offset while others change them.

use serde_json::Value;

use super::{ProviderError, ProviderErrorKind};
use crate::error::Error;

/// Most pages in a row, not counting those that are read again, that bring nothing new.
const STALE: u32 = 20;

/// A place in a list that is ordered by id and read by offset. A deletion moves all that come after
/// it towards the begin, so each further page begins with the last item of the one before. If it does
/// not, the list has moved, and the reader goes back until it finds a place that it knows: no item is
/// left out, and none is given out twice.
#[derive(Debug, Default)]
pub(super) struct Overlap {
    offset: u64,
    last: u64,
    /// Pages in a row that brought nothing new.
    stale: u32,
}

impl Overlap {
    /// Where the next page begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes a page of at most `size` items that was read at [`Overlap::offset`], and leaves in it
    /// what is new. `more`: it is not the last one. Gives whether the reader is at the end; none if
    /// it went back and the page is to be forgotten.
    ///
    /// # Errors
    /// The list is not ordered by id, or does not get on.
    pub(super) fn take(
        &mut self,
        what: &str,
        items: &mut Vec<Value>,
        size: u64,
        more: bool,
    ) -> Result<Option<bool>, ProviderError> {
        let ids: Vec<u64> = items.iter().map(|item| id(item).unwrap_or(0)).collect();
        let known: Vec<u64> = ids.iter().copied().filter(|id| *id > 0).collect();
        if !known.is_sorted() {
            return Err(odd(what, "the server does not order by id"));
        }
        let moved = known.first().is_none_or(|first| *first > self.last);
        if self.offset > 0 && moved {
            self.offset = self.offset.saturating_sub(size);
            items.clear();
            return Ok(None);
        }
        let count = u64::try_from(items.len()).unwrap_or(0);
        items.retain(|item| id(item).is_none_or(|id| id > self.last));
        if !more {
            return Ok(Some(true));
        }
        if count <= 1 {
            return Err(odd(what, "the server says that there is more, and does not send it"));
        }
        self.offset += count - 1;
        let last = self.last.max(known.last().copied().unwrap_or(0));
        self.stale = if last > self.last { 0 } else { self.stale + 1 };
        if self.stale > STALE {
            return Err(odd(what, "the list moves all the time, or has no ids"));
        }
        self.last = last;
        Ok(Some(false))
    }
}

fn id(item: &Value) -> Option<u64> {
    item.get("id")?.as_u64()
}

/// An answer of a shape that the API does not have.
pub(super) fn odd(what: &str, why: &str) -> ProviderError {
    ProviderError {
        kind: ProviderErrorKind::Other,
        error: Error::new(format!("{what}: {why}"))
            .hint("check that the address is that of the API"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// Reads a list of which one item is deleted before each page.
    fn read(mut list: Vec<u64>, size: usize, deletions: &[usize]) -> Vec<u64> {
        let mut place = Overlap::default();
        let mut seen = Vec::new();
        let mut deletions = deletions.iter();
        for _ in 0..10_000 {
            if let Some(at) = deletions.next().filter(|_| list.len() > 1) {
                list.remove(at % list.len());
            }
            let from = usize::try_from(place.offset()).unwrap();
            let page = list.iter().skip(from).take(size);
            let mut items: Vec<Value> = page.map(|id| json!({"id": id})).collect();
            let more = from + items.len() < list.len();
            let end = place.take("cannot list", &mut items, size as u64, more).unwrap();
            seen.extend(items.iter().map(|item| id(item).unwrap()));
            if end == Some(true) {
                return seen;
            }
        }
        panic!("it never ends");
    }

    proptest! {
        #[test]
        fn what_stays_in_the_list_is_always_read(
            length in 0_u64..60,
            size in 2_usize..9,
            deletions in proptest::collection::vec(any::<usize>(), 0..20),
        ) {
            let list: Vec<u64> = (1..=length).collect();
            let seen = read(list.clone(), size, &deletions);
            prop_assert!(seen.is_sorted_by(|a, b| a < b), "once each: {seen:?}");
            let mut left = list;
            for at in &deletions {
                if left.len() > 1 {
                    left.remove(at % left.len());
                }
            }
            prop_assert!(left.iter().all(|id| seen.contains(id)), "{left:?} in {seen:?}");
        }
    }

    #[test]
    fn a_list_that_does_not_get_on_is_an_error() {
        let mut place = Overlap::default();
        let mut items = vec![json!({"id": 2}), json!({"id": 1})];
        assert!(place.take("cannot list", &mut items, 10, false).is_err());
        assert!(Overlap::default().take("cannot list", &mut Vec::new(), 10, true).is_err());
        // no ids: it goes back and on again, and not for ever
        let mut place = Overlap::default();
        let mut take = || place.take("cannot list", &mut vec![json!({}), json!({})], 2, true);
        let problem = (0..100).find_map(|_| take().err()).unwrap();
        assert!(problem.error.to_string().contains("moves all the time"), "{}", problem.error);
    }
}
