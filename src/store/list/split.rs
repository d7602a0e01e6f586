//! Takes the JSON of a list apart while it comes in: `metadata` and each of `items`, as they stand.

use crate::error::{Error, Result};

/// Largest host in bytes. etcd takes no more than 1.5 MiB.
const MAX_ITEM: usize = 8 * 1024 * 1024;

/// A part of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// The list's own metadata.
    Metadata(&'a [u8]),
    /// One of its items.
    Item(&'a [u8]),
}

/// Where in the text it is. Only as much of JSON is understood as is needed to find the ends: what is
/// wrong inside an item is for whoever reads the item.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a place in the text")]
pub(super) struct Splitter {
    /// What has come of the part that is being read.
    kept: Vec<u8>,
    keeping: bool,
    depth: usize,
    in_text: bool,
    escaped: bool,
    /// The last text at the top: a key, when an object or a list begins.
    key: Vec<u8>,
    in_items: bool,
    done: bool,
}

impl Splitter {
    /// Whether the text has come to its end.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Takes in what has come and hands on what is complete.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        each: &mut dyn FnMut(Piece<'_>) -> Result<()>,
    ) -> Result<()> {
        // Begin of what is to be kept of `bytes`.
        let mut begin = 0;
        let mut at = 0;
        while let Some(byte) = bytes.get(at).copied() {
            if self.in_text {
                at += self.text(bytes.get(at..).unwrap_or_default());
                continue;
            }
            at += 1;
            match byte {
                b'"' => {
                    self.in_text = true;
                    if self.depth == 1 {
                        self.key.clear();
                    }
                }
                b'{' | b'[' => {
                    let item = self.depth == 2 && self.in_items;
                    let metadata = self.depth == 1 && self.key == b"metadata";
                    if byte == b'{' && (item || metadata) {
                        self.keeping = true;
                        begin = at - 1;
                    }
                    self.in_items |= byte == b'[' && self.depth == 1 && self.key == b"items";
                    self.depth += 1;
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    let item = self.depth == 2 && self.in_items;
                    if self.keeping && (item || self.depth == 1) {
                        let rest = bytes.get(begin..at).unwrap_or_default();
                        let whole = if self.kept.is_empty() {
                            rest
                        } else {
                            self.kept.extend_from_slice(rest);
                            &self.kept
                        };
                        each(if item { Piece::Item(whole) } else { Piece::Metadata(whole) })?;
                        self.kept.clear();
                        self.keeping = false;
                    }
                    if self.depth == 1 {
                        self.in_items = false;
                    }
                    self.done |= self.depth == 0;
                }
                _ => {}
            }
        }
        if self.keeping {
            self.kept.extend_from_slice(bytes.get(begin..).unwrap_or_default());
            if self.kept.len() > MAX_ITEM {
                return Err(Error::new("cannot list hosts: one of them has more than 8 MiB"));
            }
        }
        Ok(())
    }

    /// Goes on inside a text. Returns how many bytes belong to it.
    fn text(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        for byte in bytes {
            taken += 1;
            if self.escaped {
                self.escaped = false;
            } else if *byte == b'\\' {
                self.escaped = true;
            } else if *byte == b'"' {
                self.in_text = false;
                break;
            }
            if self.depth == 1 && self.key.len() < 16 {
                self.key.push(*byte);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str, step: usize) -> (Vec<String>, bool) {
        let mut splitter = Splitter::default();
        let mut found = Vec::new();
        for chunk in text.as_bytes().chunks(step) {
            splitter
                .feed(chunk, &mut |piece| {
                    found.push(match piece {
                        Piece::Item(json) => format!("item {}", std::str::from_utf8(json).unwrap()),
                        Piece::Metadata(json) => {
                            format!("metadata {}", std::str::from_utf8(json).unwrap())
                        }
                    });
                    Ok(())
                })
                .unwrap();
        }
        (found, splitter.is_done())
    }

    #[test]
    fn a_list_is_the_same_however_it_comes() {
        let item = r#"{"metadata":{"a":"}]\"\\"},"items":[{"b":[]}]}"#;
        let text = format!(
            r#" {{"kind":"items","x":[{{"items":[{{}}]}}],"metadata": {{"continue":"é{{"}},"items":[ {item} , {{}},{item}], "y":{{}}}} "#
        );
        let wanted = [
            r#"metadata {"continue":"é{"}"#.to_owned(),
            format!("item {item}"),
            "item {}".to_owned(),
            format!("item {item}"),
        ];
        for step in [1, 2, 3, 7, 64, 10_000] {
            assert_eq!(pieces(&text, step), (wanted.to_vec(), true), "{step}");
        }
    }

    #[test]
    fn what_is_cut_off_is_not_done_and_null_is_no_list() {
        assert!(!pieces(r#"{"items":[{"a":1},{"#, 3).1);
        assert_eq!(
            pieces(r#"{"items":null,"metadata":{}}"#, 3),
            (vec!["metadata {}".into()], true)
        );
        assert_eq!(pieces("", 1), (vec![], false));
    }

    #[test]
    fn a_host_without_end_is_refused() {
        let mut splitter = Splitter::default();
        let mut each = |_piece: Piece<'_>| Ok(());
        splitter.feed(br#"{"items":[{"a":""#, &mut each).unwrap();
        let chunk = vec![b'x'; 1024 * 1024];
        let ended = (0..9).find_map(|_| splitter.feed(&chunk, &mut each).err());
        assert!(ended.unwrap().to_string().contains("8 MiB"));
    }
}
