//! The user guide: one text, `guide.md`, in which keys stand by their actions. `GUIDE.md` is made of
//! it with the default keys; the page that `:help` opens shows the keys in force.
//!
//! In the text `{key:maintenance}` is the first key of an action and `{keys:down}` all of them. The
//! lines `{contents}`, `{grammar}` and `{settings}` are the headings, the grammar of the filter and
//! the configuration file. A comment behind a heading is the word by which `:help` finds it.

use std::fmt::Write as _;
use std::sync::LazyLock;

use super::keymap::Keymap;
use crate::config::settings;
use crate::model::filter::GRAMMAR_HELP;

const SOURCE: &str = include_str!("guide.md");

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// Words.
    Text(String),
    /// What is typed, and keys by their actions.
    Code(String),
    /// Words that matter.
    Strong(String),
}

/// A part of the guide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// A heading and its depth, 1 to 3.
    Heading(usize, String),
    /// Words up to the next blank line.
    Paragraph(Vec<Span>),
    /// One point of a list.
    Item(Vec<Span>),
    /// Lines as they stand.
    Code(Vec<String>),
    /// Rows of two columns.
    Table(Vec<(Vec<Span>, Vec<Span>)>),
    /// The headings, to choose from.
    Contents,
}

/// A heading that can be gone to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// The word by which it is found.
    pub word: String,
    /// The heading.
    pub title: String,
    /// Depth of the heading: 2 or 3.
    pub level: usize,
    /// Number of the heading among the blocks.
    pub block: usize,
    /// Everything that stands under it, in lower case.
    text: String,
}

/// The guide, taken apart.
#[derive(Clone, Debug)]
pub struct Guide {
    /// Its parts from above.
    pub blocks: Vec<Block>,
    /// The headings that can be gone to.
    pub topics: Vec<Topic>,
}

/// The guide of this program.
pub fn guide() -> &'static Guide {
    static GUIDE: LazyLock<Guide> = LazyLock::new(|| Guide::read(&put_in(SOURCE)));
    &GUIDE
}

/// The guide as Markdown with the default keys, for `GUIDE.md`.
pub fn markdown() -> String {
    let links = guide().topics.iter().filter(|topic| topic.level == 2).map(|topic| {
        let anchor = topic.title.to_lowercase().replace(' ', "-");
        let anchor: String = anchor.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect();
        format!("- [{}](#{anchor})", topic.title)
    });
    let links: Vec<String> = links.collect();
    let source = SOURCE.lines().map(|line| split_heading(line).map_or(line, |(line, _)| line));
    let text: Vec<&str> = source.collect();
    let text = put_in(&text.join("\n")).replace("{contents}", &links.join("\n"));
    let text = Keymap::default().fill_with(&text, "` `");
    format!(
        "<!-- made from src/ui/guide.md: INV_TUI_WRITE_GUIDE=1 cargo test guide_md -->\n{text}\n"
    )
}

/// The text with what other tables have to say in its place.
fn put_in(text: &str) -> String {
    let mut grammar: Vec<(String, String)> = Vec::new();
    for (form, help) in GRAMMAR_HELP {
        match grammar.last_mut() {
            Some((_, before)) if form.is_empty() => {
                let _ = write!(before, "; {help}");
            }
            _ => {
                let forms: Vec<String> = form.split("  ").filter_map(code).collect();
                grammar.push((forms.join(" "), (*help).to_owned()));
            }
        }
    }
    let mut table = String::from("| written | finds |\n| --- | --- |\n");
    for (forms, help) in grammar {
        let _ = writeln!(table, "| {} | {} |", forms.replace('|', "\\|"), help.replace('|', "\\|"));
    }
    let settings = format!("```toml\n{}```", settings::text(false));
    text.replace("{grammar}", table.trim_end()).replace("{settings}", &settings)
}

fn code(form: &str) -> Option<String> {
    Some(form.trim()).filter(|form| !form.is_empty()).map(|form| format!("`{form}`"))
}

/// A heading without the word behind it, and the word.
fn split_heading(line: &str) -> Option<(&str, &str)> {
    let (heading, word) = line.strip_suffix(" -->")?.split_once(" <!-- ")?;
    heading.starts_with('#').then_some((heading, word))
}

impl Guide {
    fn read(text: &str) -> Self {
        let mut guide = Self { blocks: Vec::new(), topics: Vec::new() };
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let mut more = |first: &str| {
                let mut text = first.to_owned();
                while let Some(next) = lines.next_if(|next| goes_on(next)) {
                    let _ = write!(text, " {}", next.trim());
                }
                spans(&text)
            };
            if line.trim().is_empty() {
                continue;
            }
            if line == "{contents}" {
                guide.blocks.push(Block::Contents);
            } else if line.starts_with('#') {
                guide.heading(line);
            } else if line.starts_with("```") {
                let block: Vec<String> = lines
                    .by_ref()
                    .take_while(|line| *line != "```")
                    .map(ToOwned::to_owned)
                    .collect();
                guide.blocks.push(Block::Code(block));
            } else if let Some(item) = line.strip_prefix("- ") {
                let item = more(item);
                guide.blocks.push(Block::Item(item));
            } else if line.starts_with('|') {
                // The titles of the columns and the line below them are for Markdown.
                let rows = std::iter::from_fn(|| lines.next_if(|line| line.starts_with('|')));
                let rows = rows.skip(1).map(cells).collect();
                guide.blocks.push(Block::Table(rows));
            } else {
                let words = more(line);
                guide.blocks.push(Block::Paragraph(words));
            }
        }
        let ends = guide.topics.iter().skip(1).map(|topic| topic.block);
        let ends: Vec<usize> = ends.chain([guide.blocks.len()]).collect();
        for (topic, end) in guide.topics.iter_mut().zip(ends) {
            let blocks = guide.blocks.iter().take(end).skip(topic.block);
            topic.text = blocks.map(Block::text).collect::<String>().to_lowercase();
        }
        guide
    }

    fn heading(&mut self, line: &str) {
        let (line, word) = split_heading(line).unwrap_or((line, ""));
        let title = line.trim_start_matches('#').trim().to_owned();
        let level = line.len() - line.trim_start_matches('#').len();
        if level > 1 {
            let word = if word.is_empty() { title.to_lowercase() } else { word.to_owned() };
            let (block, text) = (self.blocks.len(), String::new());
            self.topics.push(Topic { word, title: title.clone(), level, block, text });
        }
        self.blocks.push(Block::Heading(level, title));
    }

    /// The topics that a word means, the nearest first: by their own word, by their heading, by
    /// what stands under them. All of them for no word.
    pub fn about(&self, wanted: &str) -> Vec<&Topic> {
        let wanted = wanted.trim().to_lowercase();
        let rank = |topic: &Topic| {
            let title = topic.title.to_lowercase();
            if topic.word == wanted || wanted.is_empty() {
                Some(0)
            } else if topic.word.starts_with(&wanted) {
                Some(1)
            } else if title.contains(&wanted) {
                Some(2)
            } else if topic.text.contains(&wanted) {
                Some(3)
            } else {
                None
            }
        };
        let mut found: Vec<(i32, &Topic)> =
            self.topics.iter().filter_map(|topic| Some((rank(topic)?, topic))).collect();
        found.sort_by_key(|(rank, _)| *rank);
        found.into_iter().map(|(_, topic)| topic).collect()
    }
}

impl Block {
    fn text(&self) -> String {
        let words = |spans: &[Span]| spans.iter().map(Span::text).collect::<String>();
        match self {
            Self::Heading(_, title) => format!("{title}\n"),
            Self::Paragraph(spans) | Self::Item(spans) => format!("{}\n", words(spans)),
            Self::Code(lines) => lines.join("\n") + "\n",
            Self::Table(rows) => {
                let row = |(left, right): &(Vec<Span>, Vec<Span>)| {
                    [words(left), " ".to_owned(), words(right), "\n".to_owned()].concat()
                };
                rows.iter().map(row).collect::<Vec<_>>().concat()
            }
            Self::Contents => String::new(),
        }
    }
}

impl Span {
    /// Its words.
    pub fn text(&self) -> &str {
        let (Self::Text(text) | Self::Code(text) | Self::Strong(text)) = self;
        text
    }
}

/// Whether a line goes on with what the line before began.
fn goes_on(line: &str) -> bool {
    !line.trim().is_empty() && !["#", "- ", "|", "```"].iter().any(|mark| line.starts_with(mark))
}

/// The two cells of a row of a table.
fn cells(line: &str) -> (Vec<Span>, Vec<Span>) {
    let line = line.replace("\\|", "\u{1}");
    let mut cells =
        line.trim_matches('|').split('|').map(|cell| spans(&cell.trim().replace('\u{1}', "|")));
    (cells.next().unwrap_or_default(), cells.next().unwrap_or_default())
}

/// The pieces of a text: what stands between backticks, and between two stars.
fn spans(text: &str) -> Vec<Span> {
    let mut out = Vec::new();
    for (number, piece) in text.split('`').enumerate() {
        if number % 2 == 1 {
            out.push(Span::Code(piece.to_owned()));
            continue;
        }
        for (number, piece) in piece.split("**").enumerate().filter(|(_, piece)| !piece.is_empty())
        {
            let piece = piece.to_owned();
            out.push(if number % 2 == 1 { Span::Strong(piece) } else { Span::Text(piece) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::actions::ACTIONS;

    #[test]
    fn guide_md_is_this_guide_with_the_default_keys() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/GUIDE.md");
        if std::env::var_os("INV_TUI_WRITE_GUIDE").is_some() {
            std::fs::write(file, markdown()).unwrap();
        }
        let stored = std::fs::read_to_string(file).unwrap();
        assert!(stored == markdown(), "GUIDE.md is old: INV_TUI_WRITE_GUIDE=1 cargo test guide_md");
    }

    #[test]
    fn every_key_of_the_guide_is_that_of_an_action() {
        for name in SOURCE.split("{key").skip(1).map(|rest| rest.split_once(':').unwrap().1) {
            let name = name.split('}').next().unwrap();
            assert!(ACTIONS.iter().any(|row| row.name == name), "there is no action \"{name}\"");
        }
        let text = markdown();
        assert!(
            !text.contains("{key") && !text.contains("{grammar}") && !text.contains("{settings}")
        );
        assert!(text.contains("Press `m` on a host") && text.contains("| `j` `down` |"));
    }

    #[test]
    fn every_terminal_can_show_it() {
        for c in markdown().chars().filter(|c| !c.is_ascii()) {
            let sign = c.to_string();
            assert!(crate::ui::view::SIGNS.iter().any(|(known, _)| *known == sign), "{sign}");
        }
    }

    #[test]
    fn a_word_finds_its_topic() {
        let first = |word: &str| guide().about(word).first().map(|topic| topic.word.clone());
        for word in
            ["filter", "table", "undo", "keys", "certificates", "servers", "mouse", "themes"]
        {
            assert_eq!(first(word).as_deref(), Some(word));
        }
        assert_eq!(first("filt").as_deref(), Some("filter"));
        assert!(first("journal").is_some() && first("facets").is_some());
        assert_eq!(first("nowhere to be found"), None);
        assert_eq!(guide().about("").len(), guide().topics.len());
    }

    #[test]
    fn topics_have_words_of_their_own() {
        let mut words: Vec<&str> = guide().topics.iter().map(|topic| topic.word.as_str()).collect();
        assert!(
            words.iter().all(|word| word.len() <= 13),
            "the palette has room for 13: {words:?}"
        );
        words.sort_unstable();
        let all = words.len();
        words.dedup();
        assert_eq!(words.len(), all);
    }

    #[test]
    fn the_marks_of_a_text_are_taken_apart() {
        let text = "# T\n\nOne **two**\n`a b`, c.\n\n- x\n  y\n\n| a | b |\n| --- | --- |\n| `p\\|q` | r |\n\n```sh\nls\n```\n\n## Next <!-- n -->\n";
        let read = Guide::read(text);
        let text = |text: &str| Span::Text(text.to_owned());
        assert_eq!(
            read.blocks,
            [
                Block::Heading(1, "T".to_owned()),
                Block::Paragraph(vec![
                    text("One "),
                    Span::Strong("two".to_owned()),
                    text(" "),
                    Span::Code("a b".to_owned()),
                    text(", c."),
                ]),
                Block::Item(vec![text("x y")]),
                Block::Table(vec![(vec![Span::Code("p|q".to_owned())], vec![text("r")])]),
                Block::Code(vec!["ls".to_owned()]),
                Block::Heading(2, "Next".to_owned()),
            ]
        );
        assert_eq!((read.topics[0].word.as_str(), read.topics[0].block), ("n", 5));
    }
}
