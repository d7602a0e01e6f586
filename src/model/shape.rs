//! The shape in which hosts are shown: as a tree or a table, grouped by what, with which columns,
//! in which order. Written as texts, so that a view can be kept in a file and typed by hand.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::column::Column;
use super::labels;

/// Most levels of a tree.
pub const MAX_LEVELS: usize = 6;

/// Tree or table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Hosts under the groups that they belong to.
    #[default]
    Tree,
    /// One flat list.
    Table,
}

/// What the hosts of one level of the tree are told apart by. Written as its word, `label:KEY`, or
/// a label's key alone where no word is the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the words below say what each one is")]
pub enum Level {
    /// The API server, by the name of its context.
    Server,
    Region,
    Cluster,
    Provider,
    Zone,
    Role,
    Team,
    Environment,
    Namespace,
    State,
    Health,
    Service,
    /// A label by its key.
    Label(Arc<str>),
}

impl Level {
    /// Every level that is no label, with the word for it.
    pub const WORDS: [(&'static str, Self); 12] = [
        ("region", Self::Region),
        ("cluster", Self::Cluster),
        ("provider", Self::Provider),
        ("zone", Self::Zone),
        ("role", Self::Role),
        ("team", Self::Team),
        ("env", Self::Environment),
        ("namespace", Self::Namespace),
        ("state", Self::State),
        ("health", Self::Health),
        ("service", Self::Service),
        ("server", Self::Server),
    ];

    /// The word that people know it by: a label's key for a label.
    pub fn word(&self) -> &str {
        match self {
            Self::Label(key) => key,
            field => Self::WORDS.iter().find(|(_, l)| l == field).map_or("", |(word, _)| word),
        }
    }

    /// Reads levels with commas between them; the empty text for none.
    ///
    /// # Errors
    /// A word that is neither a field nor a label's key, a level that comes twice, and too many.
    pub fn list(text: &str) -> Result<Vec<Self>, String> {
        let mut levels = Vec::new();
        for word in text.split(',').map(str::trim).filter(|_| !text.trim().is_empty()) {
            let level = word.parse()?;
            if levels.contains(&level) {
                return Err(format!("\"{word}\" is there twice"));
            }
            levels.push(level);
        }
        if levels.len() > MAX_LEVELS {
            return Err(format!(
                "{} levels are more than the {MAX_LEVELS} there can be",
                levels.len()
            ));
        }
        Ok(levels)
    }

    /// Levels as [`Level::list`] reads them.
    pub fn write(levels: &[Self]) -> String {
        let words: Vec<String> = levels.iter().map(ToString::to_string).collect();
        words.join(",")
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Label(key) = self {
            return write!(f, "label:{key}");
        }
        f.write_str(self.word())
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let word = match text {
            "environment" => "env",
            "context" => "server",
            other => other,
        };
        if let Some((_, level)) = Self::WORDS.iter().find(|(known, _)| *known == word) {
            return Ok(level.clone());
        }
        let key = text.strip_prefix("label:").unwrap_or(text);
        if labels::is_label_key(key) {
            return Ok(Self::Label(key.into()));
        }
        let known: Vec<&str> = Self::WORDS.iter().map(|(word, _)| *word).collect();
        let known = known.join(", ");
        Err(format!("\"{text}\" is nothing to group by: it may be {known}, or a label's key"))
    }
}

/// By which column hosts are ordered. Written as the column, with a `-` in front for descending.
#[derive(Clone, Debug, PartialEq)]
pub struct Sort {
    /// The column.
    pub column: Column,
    /// Turned round; hosts that have nothing there stay last.
    pub descending: bool,
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.descending { "-" } else { "" }, self.column)
    }
}

impl FromStr for Sort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (descending, column) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let column: Column = column.parse()?;
        if column.is_kept() {
            Ok(Self { column, descending })
        } else {
            Err(format!("cannot sort by \"{column}\": the explorer keeps fields and labels only"))
        }
    }
}

/// The shape in which hosts are shown.
///
/// In a file: `form = "table"`, `group = "region,label:rack"`, `columns = "state,address,age"`,
/// `sort = "-age"`, `wide = true`; whatever is not said is as in [`Shape::default`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, try_from = "Written", into = "Written")]
pub struct Shape {
    /// Tree or table.
    pub form: Form,
    /// The levels of the tree, from the top.
    pub group: Vec<Level>,
    /// The columns behind the name; none: those that are shown by default.
    pub columns: Option<Vec<Column>>,
    /// The order of the table; none: by name.
    pub sort: Option<Sort>,
    /// Every column of a wide table besides.
    pub wide: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            form: Form::Tree,
            group: vec![Level::Region, Level::Cluster],
            columns: None,
            sort: None,
            wide: false,
        }
    }
}

/// A shape as a file has it.
#[derive(Serialize, Deserialize)]
#[serde(default)]
struct Written {
    form: Form,
    group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sort: Option<String>,
    wide: bool,
}

impl Default for Written {
    fn default() -> Self {
        Shape::default().into()
    }
}

impl From<Shape> for Written {
    fn from(shape: Shape) -> Self {
        let columns = |columns: Vec<Column>| {
            let words: Vec<String> = columns.iter().map(ToString::to_string).collect();
            words.join(",")
        };
        Self {
            form: shape.form,
            group: Level::write(&shape.group),
            columns: shape.columns.map(columns),
            sort: shape.sort.map(|sort| sort.to_string()),
            wide: shape.wide,
        }
    }
}

impl TryFrom<Written> for Shape {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let columns = |text: String| match text.as_str() {
            "" => Ok(Vec::new()),
            text => Column::list(text),
        };
        Ok(Self {
            form: written.form,
            group: Level::list(&written.group)?,
            columns: written.columns.map(columns).transpose()?,
            sort: written.sort.map(|text| text.parse()).transpose()?,
            wide: written.wide,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_and_written() {
        for (text, written) in [
            ("region,cluster", "region,cluster"),
            ("region, rack", "region,label:rack"),
            ("label:region,environment", "label:region,env"),
            ("a.b/c", "label:a.b/c"),
            ("", ""),
        ] {
            let levels = Level::list(text).unwrap();
            assert_eq!(Level::write(&levels), written);
            assert_eq!(Level::list(written).unwrap(), levels);
        }
        for (wrong, why) in [
            ("region,", "nothing to group by"),
            ("no key", "nothing to group by"),
            ("region,region", "twice"),
            ("a,b,c,d,e,f,g", "7 levels"),
        ] {
            let problem = Level::list(wrong).unwrap_err();
            assert!(problem.contains(why), "{problem}");
        }
    }

    #[test]
    fn a_shape_is_kept_as_texts() {
        let shape = Shape {
            form: Form::Table,
            group: Level::list("provider,label:rack").unwrap(),
            columns: Some(Column::list("state,label:a.b/c").unwrap()),
            sort: Some("-label:rack".parse().unwrap()),
            wide: true,
        };
        let text = toml::to_string(&shape).unwrap();
        assert_eq!(
            text,
            "form = \"table\"\ngroup = \"provider,label:rack\"\ncolumns = \"state,label:a.b/c\"\nsort = \"-label:rack\"\nwide = true\n"
        );
        assert_eq!(toml::from_str::<Shape>(&text).unwrap(), shape);
        assert_eq!(toml::from_str::<Shape>("").unwrap(), Shape::default());
        let some = toml::from_str::<Shape>("sort = \"age\"").unwrap();
        assert_eq!(some.sort.map(|sort| sort.to_string()).as_deref(), Some("age"));
        assert_eq!(some.group, Shape::default().group);
        for wrong in ["sort = \"-.a\"", "sort = \"X:.a\"", "group = \"a b\"", "form = \"list\""] {
            assert!(toml::from_str::<Shape>(wrong).is_err(), "{wrong}");
        }
    }
}
