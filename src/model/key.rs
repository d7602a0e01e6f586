//! What names a thing for good: uids, and the lines of the tree. Also the natural order of names.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// One of the API servers that are shown together, by its number: the first that was named is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(u8);

impl ServerId {
    /// The only one, where there are no others.
    pub const FIRST: Self = Self(0);
    /// Most servers at once.
    pub const MOST: usize = 64;

    /// The server of this number; none from [`ServerId::MOST`] on.
    pub fn new(number: usize) -> Option<Self> {
        u8::try_from(number).ok().filter(|_| number < Self::MOST).map(Self)
    }

    /// Its number.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Uid of an object and the server that it is on: unique in space and time, never reused. Two
/// servers, one made from a backup of the other, may have objects of the same uid, so the server
/// belongs to it. Cloning it is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(
    /// The text, and behind it the server's number as a character: one byte, where a field of its
    /// own would be eight in every row.
    Arc<str>,
);

impl Uid {
    /// The uid of this text on the first server.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self::on(ServerId::FIRST, text)
    }

    /// The uid of this text on this server.
    pub fn on(server: ServerId, text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        let mut whole = String::with_capacity(text.len() + 1);
        whole.push_str(text);
        whole.push(char::from(server.0));
        Self(whole.into())
    }

    /// The uid as text, as its server knows it.
    pub fn as_str(&self) -> &str {
        // The last character is one byte: numbers of servers are small.
        self.0.get(..self.0.len().saturating_sub(1)).unwrap_or_default()
    }

    /// The server that it is on.
    pub fn server(&self) -> ServerId {
        ServerId(self.0.bytes().next_back().unwrap_or_default())
    }

    /// The uid with its server: what no two objects share. Not for display.
    pub(crate) fn whole(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.server() {
            ServerId::FIRST => write!(f, "Uid({:?})", self.as_str()),
            other => write!(f, "Uid({:?} on {})", self.as_str(), other.0),
        }
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        Self::new(text)
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
        Place { display: &self.display, namespace: &self.namespace, uid: self.uid.whole() }
    }
}

/// A [`HostKey`] that borrows: what two hosts are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The name that people see.
    pub display: &'a str,
    /// Namespace of the object.
    pub namespace: &'a str,
    /// Uid of the object, with its server.
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
