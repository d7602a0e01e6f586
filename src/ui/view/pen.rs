//! Writes text into a buffer from left to right, and stops at the right edge.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::model::text;

/// A pen on one line of the screen.
pub(super) struct Pen<'a> {
    buffer: &'a mut Buffer,
    x: u16,
    end: u16,
    y: u16,
}

impl<'a> Pen<'a> {
    /// A pen at the left of one line of an area; off the area it writes nothing.
    pub(super) fn new(buffer: &'a mut Buffer, area: Rect, line: u16) -> Self {
        let area = area.intersection(buffer.area);
        let inside = line < area.height;
        let (x, end) = if inside { (area.left(), area.right()) } else { (0, 0) };
        Self { buffer, x, end, y: area.y.saturating_add(line) }
    }

    /// Columns that are left.
    pub(super) fn left(&self) -> usize {
        usize::from(self.end.saturating_sub(self.x))
    }

    /// The column that comes next.
    pub(super) fn column(&self) -> u16 {
        self.x
    }

    /// Writes text, made harmless, as far as there is room.
    pub(super) fn put(&mut self, text: &str, style: Style) -> &mut Self {
        if self.left() > 0 {
            let (x, _) =
                self.buffer.set_stringn(self.x, self.y, text::clean(text), self.left(), style);
            self.x = x;
        }
        self
    }

    /// Writes text in a column of this width, cut with an ellipsis where it is longer.
    pub(super) fn cell(&mut self, text: &str, width: usize, style: Style) -> &mut Self {
        let width = width.min(self.left());
        let end = self.x.saturating_add(u16::try_from(width).unwrap_or(u16::MAX));
        self.put(&cut(text, width), style);
        self.x = self.x.max(end);
        self
    }

    /// Writes text at the right edge, if there is room behind what is already there.
    pub(super) fn right(&mut self, text: &str, style: Style) {
        let clean = text::clean(text);
        let width = clean.width();
        if width < self.left() {
            let x = self.end.saturating_sub(u16::try_from(width).unwrap_or(u16::MAX));
            self.buffer.set_stringn(x, self.y, &clean, width, style);
            self.end = x;
        }
    }

    /// Gives the whole line a style.
    pub(super) fn fill(&mut self, style: Style) -> &mut Self {
        let width = self.end.saturating_sub(self.x);
        self.buffer
            .set_style(Rect { x: self.x, y: self.y, width, height: u16::from(width > 0) }, style);
        self
    }

    pub(super) fn skip(&mut self, columns: u16) -> &mut Self {
        self.x = self.x.saturating_add(columns).min(self.end);
        self
    }
}

/// The text in at most `width` columns, with an ellipsis where something was cut.
pub(super) fn cut(text: &str, width: usize) -> Cow<'_, str> {
    let clean = text::clean(text);
    if clean.width() <= width {
        return clean;
    }
    let mut out = String::new();
    let mut used = 0;
    for part in clean.graphemes(true) {
        if used + part.width() + 1 > width {
            break;
        }
        used += part.width();
        out.push_str(part);
    }
    if width > 0 {
        out.push('…');
    }
    Cow::Owned(out)
}

/// A number with commas between the thousands.
pub(super) fn number(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The lines of a text, broken at spaces to at most `width` columns.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text::clean(text).split(' ') {
        let mut word = word.to_owned();
        while let Some(line) = lines.last_mut() {
            let gap = usize::from(!line.is_empty());
            if line.width() + gap + word.width() <= width {
                if gap > 0 {
                    line.push(' ');
                }
                line.push_str(&word);
                break;
            }
            if line.is_empty() {
                // A word longer than the line is broken in itself.
                let mut used = 0;
                let at = word
                    .grapheme_indices(true)
                    .find(|(_, g)| {
                        used += g.width();
                        used > width.max(1)
                    })
                    .map_or(word.len(), |(at, _)| at);
                let rest = word.split_off(at);
                line.push_str(&word);
                if rest.is_empty() || word.is_empty() {
                    break;
                }
                word = rest;
            }
            lines.push(String::new());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_and_cuts() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(cut("web-eu-001", 6), "web-e…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("abc", 0), "");
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
    }

    proptest! {
        #[test]
        fn a_cut_fits(text in ".{0,40}", width in 0_usize..20) {
            prop_assert!(cut(&text, width).width() <= width);
        }

        #[test]
        fn a_wrap_ends_and_fits(text in ".{0,60}", width in 2_usize..20) {
            for line in wrap(&text, width) {
                prop_assert!(line.width() <= width, "{:?}", line);
            }
        }
    }
}
