//! What names a thing for good: uids, and the lines of the tree. Also the natural order of names.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// Uid of an object: unique in space and time, never reused. Cloning it is cheap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(Arc<str>);

impl Uid {
    /// The uid of this text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The uid as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Uid {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// A group of the tree by the names from the top down to its own. Cloning it is cheap.
///
/// Hosts that have nothing at a level are in the group with the empty name there; only what is
/// shown says "(no region)".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupPath(Arc<[Arc<str>]>);

impl GroupPath {
    /// The group under these names; none names the whole fleet.
    pub fn new(names: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self(names.into_iter().collect())
    }

    /// The names from the top.
    pub fn names(&self) -> &[Arc<str>] {
        &self.0
    }

    /// Its own name; empty for the whole fleet.
    pub fn name(&self) -> &str {
        self.0.last().map_or("", AsRef::as_ref)
    }

    /// How many levels it is below the whole fleet.
    pub fn depth(&self) -> usize {
        self.0.len()
    }

    /// The group around it; none for one at the top.
    pub fn parent(&self) -> Option<Self> {
        let (_, above) = self.0.split_last()?;
        (!above.is_empty()).then(|| Self(above.into()))
    }
}

/// What a line of the tree is, whatever its number. Cursor, marks and scroll position hold this.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeKey {
    /// A group by its path, under the grouping that is in force.
    Group(GroupPath),
    /// A host by its uid; it stays the same host when it moves to another group.
    Host(Uid),
}

impl NodeKey {
    /// The group under these names.
    pub fn group<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Group(GroupPath::new(names.into_iter().map(Into::into)))
    }
}

/// Compares names of groups in the order of the tree: natural, the nameless one last.
pub(crate) fn group_cmp(a: &str, b: &str) -> Ordering {
    a.is_empty().cmp(&b.is_empty()).then_with(|| natural_cmp(a, b))
}

/// Where a host stands in its group: by the name that people see in natural order, then by
/// namespace and uid, so that two hosts never share a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKey {
    /// The name that people see.
    pub display: Arc<str>,
    /// Namespace of the object.
    pub namespace: Arc<str>,
    /// Uid of the object.
    pub uid: Uid,
}

impl HostKey {
    /// The key without its own memory.
    pub fn as_place(&self) -> Place<'_> {
        Place { display: &self.display, namespace: &self.namespace, uid: self.uid.as_str() }
    }
}

/// A [`HostKey`] that borrows: what two hosts are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The name that people see.
    pub display: &'a str,
    /// Namespace of the object.
    pub namespace: &'a str,
    /// Uid of the object.
    pub uid: &'a str,
}

impl Ord for Place<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        natural_cmp(self.display, other.display)
            .then_with(|| self.namespace.cmp(other.namespace))
            .then_with(|| self.uid.cmp(other.uid))
    }
}

impl PartialOrd for Place<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Compares as people count: runs of digits by their value, so that `web-2` stands before
/// `web-10`; everything else by byte. Equal only for equal texts (leading zeros break a tie).
pub fn natural_cmp(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    loop {
        match (left.split_first(), right.split_first()) {
            (Some((x, left_rest)), Some((y, right_rest))) => {
                if x.is_ascii_digit() && y.is_ascii_digit() {
                    let (left_digits, left_after) = take_number(left);
                    let (right_digits, right_after) = take_number(right);
                    // Without leading zeros a longer number is a greater one, of any length.
                    let order = left_digits
                        .len()
                        .cmp(&right_digits.len())
                        .then_with(|| left_digits.cmp(right_digits));
                    if order.is_ne() {
                        return order;
                    }
                    (left, right) = (left_after, right_after);
                } else if x == y {
                    (left, right) = (left_rest, right_rest);
                } else {
                    return x.cmp(y);
                }
            }
            (None, None) => return a.cmp(b),
            (rest, _) => return if rest.is_none() { Ordering::Less } else { Ordering::Greater },
        }
    }
}

/// The number at the start of `text` without leading zeros, and what follows it.
fn take_number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let start = digits.iter().position(|byte| *byte != b'0').unwrap_or(digits.len());
    (digits.get(start..).unwrap_or_default(), rest)
}

#[cfg(test)]
mod tests;
