//! The guide, broken to the width of the page.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::{Line, broken};
use crate::ui::app::Model;
use crate::ui::guide::{Block, Span, guide};
use crate::ui::theme::Role;

/// Most columns: longer lines are hard to read.
const WIDEST: usize = 96;
/// Columns from which the two columns of a table stand side by side.
const BESIDE: usize = 56;
/// Most columns of the left one.
const LEFT: usize = 24;

/// The guide on a page.
pub struct Laid {
    /// Its lines.
    pub lines: Vec<Line>,
    /// The block that each line belongs to.
    pub blocks: Vec<usize>,
}

impl Laid {
    /// The first line of a block, or of what follows it.
    pub fn line_of(&self, block: usize) -> usize {
        self.blocks.partition_point(|at| *at < block)
    }

    /// The heading under which a line stands.
    pub fn title(&self, line: usize) -> &'static str {
        let at = self.blocks.get(line).copied().unwrap_or_default();
        let topic = guide().topics.iter().rfind(|topic| topic.block <= at);
        topic.map_or("", |topic| topic.title.as_str())
    }

    /// The first lines of the headings that can be gone to.
    pub fn headings(&self) -> impl DoubleEndedIterator<Item = usize> {
        guide().topics.iter().map(|topic| self.line_of(topic.block))
    }
}

/// The guide in this many columns, with the keys in force.
pub fn laid(model: &Model, width: usize) -> Laid {
    let width = width.clamp(8, WIDEST);
    let mut laid = Laid { lines: Vec::new(), blocks: Vec::new() };
    let mut before: Option<&Block> = None;
    for (number, block) in guide().blocks.iter().enumerate() {
        // Points of one list stand together, everything else is set apart; the blank line belongs
        // to what is above it, so that a heading can be the first line.
        let together = matches!((before, block), (Some(Block::Item(_)), Block::Item(_)));
        if !together && let Some(above) = laid.blocks.last().copied() {
            laid.lines.push(Vec::new());
            laid.blocks.push(above);
        }
        block_lines(model, block, width, &mut laid.lines);
        laid.blocks.resize(laid.lines.len(), number);
        before = Some(block);
    }
    laid
}

fn block_lines(model: &Model, block: &Block, width: usize, out: &mut Vec<Line>) {
    match block {
        Block::Heading(level, title) => {
            flow(&[(title.clone(), Role::Title)], 0, width, out);
            if *level < 3 {
                out.push(vec![("━".repeat(title.width().min(width)), Role::Border)]);
            }
        }
        Block::Paragraph(spans) => flow(&words(model, spans), 0, width, out),
        Block::Item(spans) => {
            let at = out.len();
            flow(&words(model, spans), 2, width, out);
            if let Some((indent, role)) = out.get_mut(at).and_then(|line| line.first_mut()) {
                "· ".clone_into(indent);
                *role = Role::Muted;
            }
        }
        Block::Code(lines) => {
            for line in lines {
                let role = if line.starts_with('#') { Role::Muted } else { Role::Text };
                let line = vec![("  ".to_owned(), Role::Muted), (line.clone(), role)];
                out.extend(broken(line, width));
            }
        }
        Block::Table(rows) => {
            let rows = rows.iter().map(|(left, right)| (words(model, left), words(model, right)));
            table(&rows.collect::<Vec<_>>(), width, out);
        }
        Block::Contents => {
            for topic in guide().topics.iter().filter(|topic| topic.level == 2) {
                flow(&[(topic.title.clone(), Role::Text)], 2, width, out);
            }
        }
    }
}

/// The pieces of a text with their roles and the keys in force.
fn words(model: &Model, spans: &[Span]) -> Line {
    let piece = |span: &Span| {
        let role = match span {
            Span::Text(_) => Role::Text,
            Span::Code(_) => Role::Key,
            Span::Strong(_) => Role::Title,
        };
        // Between two pieces of code a blank is easily taken for a part of them.
        let text = if span.text() == " " { "  " } else { span.text() };
        (model.settings.keymap.fill(text), role)
    };
    spans.iter().map(piece).collect()
}

fn table(rows: &[(Line, Line)], width: usize, out: &mut Vec<Line>) {
    let wide = |pieces: &[(String, Role)]| pieces.iter().map(|(text, _)| text.width()).sum();
    let column = rows.iter().map(|(left, _)| wide(left)).filter(|wide| *wide <= LEFT).max();
    let indent = if width < BESIDE { 4 } else { column.unwrap_or(4) + 2 };
    for (left, right) in rows {
        let used: usize = wide(left);
        if width < BESIDE || used + 2 > indent {
            flow(left, 0, width, out);
            flow(right, indent, width, out);
            continue;
        }
        let at = out.len();
        flow(right, indent, width, out);
        if let Some(line) = out.get_mut(at).filter(|line| !line.is_empty()) {
            let mut first = left.clone();
            first.push((" ".repeat(indent - used), Role::Muted));
            line.splice(..1, first);
        }
    }
}

/// A text broken at blanks, each line after `indent` columns, which are its first piece.
fn flow(pieces: &[(String, Role)], indent: usize, width: usize, out: &mut Vec<Line>) {
    let room = width.saturating_sub(indent).max(4);
    // A word can have several roles, as a key before a comma has.
    let mut all: Vec<Line> = vec![Vec::new()];
    for (text, role) in pieces {
        for (number, part) in text.split(' ').enumerate() {
            if number > 0 {
                all.push(Vec::new());
            }
            if let Some(word) = all.last_mut().filter(|_| !part.is_empty()) {
                word.push((part.to_owned(), *role));
            }
        }
    }
    let margin = || vec![(" ".repeat(indent), Role::Muted)];
    let (mut line, mut used) = (margin(), 0);
    for word in all.into_iter().filter(|word| !word.is_empty()) {
        let wide: usize = word.iter().map(|(text, _)| text.width()).sum();
        if used > 0 && used + 1 + wide > room {
            out.push(std::mem::replace(&mut line, margin()));
            used = 0;
        }
        if used > 0 {
            // Between two words of code the blank is code as well.
            line.push((" ".to_owned(), Role::Text));
            used += 1;
        }
        if wide <= room {
            line.extend(word);
            used += wide;
            continue;
        }
        for (text, role) in word {
            for grapheme in text.graphemes(true) {
                if used + grapheme.width() > room {
                    out.push(std::mem::replace(&mut line, margin()));
                    used = 0;
                }
                line.push((grapheme.to_owned(), role));
                used += grapheme.width();
            }
        }
    }
    out.push(line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::msg::{Command, Msg};
    use crate::ui::testing::{fleet, press, screen, send};
    use crate::ui::theme::BUILT_IN;

    fn opened(width: u16, height: u16) -> Model {
        let mut model = fleet(width, height);
        assert!(press(&mut model, ":help<enter>").is_empty(), "nothing is asked of anybody");
        model
    }

    /// The words of lines, however they are broken.
    fn plain(lines: &[Line]) -> String {
        let words = lines.iter().flatten().map(|(text, _)| text.as_str()).collect::<String>();
        words.chars().filter(|c| !c.is_whitespace() && *c != '·' && *c != '━').collect()
    }

    #[test]
    fn it_is_whole_in_every_width() {
        let model = fleet(80, 24);
        let wide = laid(&model, 398);
        assert!(wide.lines.len() > 200);
        for width in [18, 38, 57, 78, 118] {
            let laid = laid(&model, width);
            assert_eq!(laid.lines.len(), laid.blocks.len());
            for line in &laid.lines {
                let wide: usize = line.iter().map(|(text, _)| text.width()).sum();
                assert!(wide <= width, "{line:?} in {width}");
            }
            assert!(laid.blocks.is_sorted() && plain(&laid.lines) == plain(&wide.lines), "{width}");
        }
    }

    #[test]
    fn it_can_be_read_on_every_screen_and_in_every_theme() {
        for (width, height) in [(20, 5), (40, 10), (80, 24), (200, 60), (400, 100)] {
            let model = opened(width, height);
            assert!(screen(&model).contains("guide"), "{width}x{height}");
        }
        let mut model = opened(80, 24);
        model.settings.ascii = true;
        press(&mut model, "<tab><tab>");
        let text = screen(&model);
        assert!(text.is_ascii() && text.contains("Reading the screen"), "{text}");
        for (name, _) in BUILT_IN {
            name.clone_into(&mut model.settings.theme);
            assert!(screen(&model).contains("Reading the screen"), "{name}");
        }
    }

    #[test]
    fn parts_are_gone_to_by_their_headings() {
        let mut model = opened(80, 24);
        let text = screen(&model);
        assert!(text.contains("inv-tui: the guide") && text.contains("Finding hosts"), "{text}");
        press(&mut model, "<tab>");
        assert!(
            screen(&model).lines().nth(2).unwrap().contains("First minutes"),
            "{}",
            screen(&model)
        );
        press(&mut model, "<tab><tab><backtab>");
        let text = screen(&model);
        assert!(text.lines().nth(1).unwrap().contains("guide  Reading the screen"), "{text}");
        press(&mut model, "<enter>undo<enter>");
        let text = screen(&model);
        assert!(text.lines().nth(1).unwrap().contains("Undo, redo, repeat"), "{text}");
        assert!(text.contains("takes the last change back"), "{text}");
        press(&mut model, "q:help servers<enter>");
        assert!(screen(&model).lines().nth(2).unwrap().contains("Several API servers"));
        press(&mut model, "G<tab><tab>");
        assert!(screen(&model).contains("The mouse"), "it stays at the end");
        press(&mut model, "<esc>");
        assert!(model.page.is_none());
    }

    #[test]
    fn it_is_searched_and_copied_and_keeps_its_place() {
        let mut model = opened(120, 30);
        press(&mut model, "/budget<enter>");
        let text = screen(&model);
        assert!(
            text.contains("/budget") && text.to_lowercase().matches("budget").count() > 1,
            "{text}"
        );
        press(&mut model, "<esc>:help facets<enter>");
        send(&mut model, Msg::Resize(50, 12));
        assert!(screen(&model).lines().nth(1).unwrap().contains("Facets"), "{}", screen(&model));
        let commands = press(&mut model, "c");
        assert!(
            matches!(commands.as_slice(), [Command::Copy(text)] if text.contains("The change strip")),
            "{commands:?}"
        );
    }

    #[test]
    fn it_shows_the_keys_in_force() {
        let mut model = opened(120, 30);
        let own = "maintenance = [\"K\"]\ndown = [\"down\"]\nup = [\"up\"]";
        model.settings.keymap =
            crate::ui::keymap::Keymap::new(&toml::from_str(own).unwrap()).unwrap();
        let text = plain(&laid(&model, 96).lines);
        assert!(text.contains("PressKonahost") && text.contains("Movewithdownandup"), "{text}");
    }
}
