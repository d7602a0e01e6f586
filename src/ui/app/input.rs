//! One line of text that a person types.

use std::ops::Range;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_segmentation::UnicodeSegmentation;

use crate::model::text;

/// Longest text in bytes: what the filter grammar takes.
const MAX: usize = 4_096;

/// Text and a cursor in it, which stands between two graphemes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    text: String,
    cursor: usize,
}

impl Input {
    /// Begins with a text, the cursor at its end.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { cursor: text.len(), text }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text before and after the cursor.
    pub fn halves(&self) -> (&str, &str) {
        self.text.split_at_checked(self.cursor).unwrap_or((&self.text, ""))
    }

    /// Puts text in the place of these bytes, the cursor behind it.
    pub fn replace(&mut self, at: Range<usize>, text: &str) {
        let longer = self.text.len().saturating_sub(at.len()).saturating_add(text.len());
        if longer <= MAX && self.text.get(at.clone()).is_some() {
            self.cursor = at.start + text.len();
            self.text.replace_range(at, text);
        }
    }

    /// Whether the cursor is at the end.
    pub fn is_at_end(&self) -> bool {
        self.cursor == self.text.len()
    }

    /// Puts text in at the cursor, without control characters.
    pub fn insert(&mut self, more: &str) {
        let more: String = more.chars().filter(|c| !text::is_hostile(*c)).collect();
        if self.text.len() + more.len() <= MAX {
            self.text.insert_str(self.cursor, &more);
            self.cursor += more.len();
        }
    }

    /// Takes a key; true when the text has changed.
    pub fn key(&mut self, key: KeyEvent) -> bool {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('a') if ctrl => self.cursor = 0,
            KeyCode::Char('e') if ctrl => self.cursor = self.text.len(),
            KeyCode::Char('u') if ctrl => return self.remove(0, self.cursor),
            KeyCode::Char('k') if ctrl => return self.remove(self.cursor, self.text.len()),
            KeyCode::Char('w') if ctrl => {
                let (before, _) = self.halves();
                let from = before.trim_end().rfind(' ').map_or(0, |at| at + 1);
                return self.remove(from, self.cursor);
            }
            KeyCode::Char(c) if !ctrl && !key.modifiers.contains(KeyModifiers::ALT) => {
                let before = self.text.len();
                self.insert(c.encode_utf8(&mut [0; 4]));
                return self.text.len() != before;
            }
            KeyCode::Backspace => return self.remove(self.previous(), self.cursor),
            KeyCode::Delete => return self.remove(self.cursor, self.next()),
            KeyCode::Left => self.cursor = self.previous(),
            KeyCode::Right => self.cursor = self.next(),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.text.len(),
            _ => {}
        }
        false
    }

    fn previous(&self) -> usize {
        self.halves().0.grapheme_indices(true).next_back().map_or(0, |(at, _)| at)
    }

    fn next(&self) -> usize {
        self.cursor + self.halves().1.graphemes(true).next().map_or(0, str::len)
    }

    fn remove(&mut self, from: usize, to: usize) -> bool {
        if from >= to {
            return false;
        }
        self.text.replace_range(from..to, "");
        self.cursor = from;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(input: &mut Input, code: KeyCode) {
        input.key(KeyEvent::new(code, KeyModifiers::NONE));
    }

    #[test]
    fn editing_keeps_to_graphemes() {
        let mut input = Input::new("a👩‍👩‍👧b");
        press(&mut input, KeyCode::Left);
        press(&mut input, KeyCode::Backspace);
        assert_eq!(input.text(), "ab");
        press(&mut input, KeyCode::Char('é'));
        assert_eq!(input.halves(), ("aé", "b"));
        press(&mut input, KeyCode::Delete);
        press(&mut input, KeyCode::Delete);
        press(&mut input, KeyCode::Home);
        press(&mut input, KeyCode::Backspace);
        assert_eq!(input.halves(), ("", "aé"));
    }

    #[test]
    fn words_and_lines_go_at_once_and_controls_never_come_in() {
        let mut input = Input::new("env=prod web ");
        input.key(KeyEvent::new(KeyCode::Char('w'), KeyModifiers::CONTROL));
        assert_eq!(input.text(), "env=prod ");
        input.insert("a\u{1b}[31m\nb");
        assert_eq!(input.text(), "env=prod a[31mb");
        input.key(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL));
        assert_eq!(input.text(), "");
        input.insert(&"x".repeat(5_000));
        assert_eq!(input.text(), "");
    }
}
