//! Saved views: a filter and a shape under a name. One's own are in `views.toml` beside the
//! configuration; files that a team shares are named there.
//!
//! ```toml
//! [[view]]
//! name = "prod databases"
//! key = 1
//! filter = "env=prod role=db"
//! group = "region,cluster"
//! ```

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Misread, from_toml};
use crate::error::{Error, Result};
use crate::files;
use crate::model::column::Column;
use crate::model::filter::Filter;
use crate::model::shape::{Form, Level, Shape, Sort};
use crate::model::text;

/// Most characters of a name.
pub const MAX_NAME: usize = 64;
/// What stands above the views in a file that is written here.
const HEAD: &str = "# Saved views of inv-tui; GUIDE.md has what can stand here.\n\n";

/// A saved view.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SavedView {
    /// Its name.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// The digit that shows it, 1 to 9.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "digit")]
    pub key: Option<u8>,
    /// Only hosts that this filter chooses; the empty text: all.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "filter")]
    pub filter: String,
    /// Tree or table.
    #[serde(default, skip_serializing_if = "is_default")]
    pub form: Form,
    /// The levels of the tree; none: as usual.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "levels",
        serialize_with = "write_levels"
    )]
    pub group: Option<Vec<Level>>,
    /// The columns; none: as usual.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "columns",
        serialize_with = "write_columns"
    )]
    pub columns: Option<Vec<Column>>,
    /// The order of the table.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "sort",
        serialize_with = "write_sort"
    )]
    pub sort: Option<Sort>,
    /// Every column of a wide table.
    #[serde(default, skip_serializing_if = "is_default")]
    pub wide: bool,
}

impl SavedView {
    /// What is shown now, under a name.
    pub fn new(name: &str, key: Option<u8>, filter: &str, shape: &Shape) -> Self {
        let shape = shape.clone();
        let group = (shape.group != Shape::default().group).then_some(shape.group);
        Self {
            name: name.to_owned(),
            key,
            filter: filter.to_owned(),
            form: shape.form,
            group,
            columns: shape.columns,
            sort: shape.sort,
            wide: shape.wide,
        }
    }

    /// The shape that it has.
    pub fn shape(&self) -> Shape {
        Shape {
            form: self.form,
            group: self.group.clone().unwrap_or_else(|| Shape::default().group),
            columns: self.columns.clone(),
            sort: self.sort.clone(),
            wide: self.wide,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn checked<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    read: impl FnOnce(&str) -> std::result::Result<T, String>,
) -> std::result::Result<T, D::Error> {
    read(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// Checks the name of a view.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(text: &str) -> std::result::Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > MAX_NAME {
        return Err(format!("the name of a view has 1 to {MAX_NAME} characters"));
    }
    if text.chars().any(text::is_hostile) {
        return Err("the name of a view has an invisible character".to_owned());
    }
    Ok(text.to_owned())
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    checked(deserializer, check_name)
}

fn digit<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<u8>, D::Error> {
    let key = u8::deserialize(deserializer)?;
    if (1..=9).contains(&key) {
        Ok(Some(key))
    } else {
        Err(serde::de::Error::custom("the key of a view is a digit from 1 to 9"))
    }
}

fn filter<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    checked(deserializer, |text| match Filter::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(problem) => Err(format!("no filter, at byte {}: {problem}", problem.at.start)),
    })
}

fn levels<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Vec<Level>>, D::Error> {
    checked(deserializer, Level::list).map(Some)
}

fn columns<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Vec<Column>>, D::Error> {
    // None besides the name, as the picker may leave it.
    let read = |text: &str| if text.is_empty() { Ok(Vec::new()) } else { Column::list(text) };
    checked(deserializer, read).map(Some)
}

fn sort<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<Sort>, D::Error> {
    checked(deserializer, str::parse).map(Some)
}

#[expect(clippy::ref_option, reason = "serde gives it so")]
fn write_levels<S: Serializer>(
    levels: &Option<Vec<Level>>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&Level::write(levels.as_deref().unwrap_or_default()))
}

#[expect(clippy::ref_option, reason = "serde gives it so")]
fn write_columns<S: Serializer>(
    columns: &Option<Vec<Column>>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    let words: Vec<String> = columns.iter().flatten().map(ToString::to_string).collect();
    serializer.serialize_str(&words.join(","))
}

#[expect(clippy::ref_option, reason = "serde gives it so")]
fn write_sort<S: Serializer>(
    sort: &Option<Sort>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&sort.as_ref().map(ToString::to_string).unwrap_or_default())
}

/// What a file has.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    #[serde(default, rename = "view")]
    views: Vec<SavedView>,
}

/// A view and where it is from.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownView {
    /// The view.
    pub view: SavedView,
    /// The shared file that it is from; none: it is one's own.
    pub shared: Option<PathBuf>,
}

/// A change of one's own views.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// Put this one in, in the place of the one with its name; its key is taken from any other.
    Put(Box<SavedView>),
    /// Take the one with this name out.
    Remove(String),
}

/// Where one's own views are, for example `~/.config/inv-tui/views.toml`.
pub fn own_file() -> Option<PathBuf> {
    super::folders().map(|dirs| dirs.config_dir().join("views.toml"))
}

/// The views of a file; none if the file is not there.
///
/// # Errors
/// The file cannot be read or is malformed: with line and column.
pub fn read(file: &Path) -> Result<Option<Vec<SavedView>>> {
    let path = file.display();
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => {
            return Err(Error::usage(format!("cannot read views \"{path}\"")).because(cause));
        }
    };
    let malformed = |Misread { line, column, what }| {
        Error::usage(format!("views \"{path}:{line}:{column}\" are malformed: {what}"))
            .hint("GUIDE.md has what a saved view consists of")
    };
    let views = from_toml::<Whole>(&text).map_err(malformed)?.views;
    for (at, view) in views.iter().enumerate() {
        let earlier = views.iter().take(at);
        let twice = |what: String| Error::usage(format!("views \"{path}\" have {what} twice"));
        for other in earlier {
            if other.name == view.name {
                return Err(twice(format!("the name \"{}\"", view.name)));
            }
            if let Some(key) = view.key.filter(|key| other.key == Some(*key)) {
                return Err(twice(format!("the key {key}")));
            }
        }
    }
    Ok(Some(views))
}

/// One's own views and those of the shared files, and what is wrong with any of them. Of two with
/// the same name or the same key the one that is read first has it: one's own, then the files in
/// their order.
pub fn load(own: Option<&Path>, shared: &[PathBuf]) -> (Vec<KnownView>, Vec<Error>) {
    let (mut known, mut problems): (Vec<KnownView>, Vec<Error>) = (Vec::new(), Vec::new());
    let own = own.into_iter().map(|file| (file, None));
    for (file, shared) in own.chain(shared.iter().map(|file| (file.as_path(), Some(file)))) {
        let views = match read(file) {
            Ok(Some(views)) => views,
            Ok(None) if shared.is_none() => continue,
            Ok(None) => {
                let what = format!("views \"{}\" are not there", file.display());
                problems.push(Error::usage(what).hint("\"views\" in config.toml names them"));
                continue;
            }
            Err(error) => {
                problems.push(error);
                continue;
            }
        };
        for mut view in views {
            if known.iter().any(|other| other.view.name == view.name) {
                continue;
            }
            view.key =
                view.key.filter(|key| known.iter().all(|other| other.view.key != Some(*key)));
            known.push(KnownView { view, shared: shared.cloned() });
        }
    }
    (known, problems)
}

/// The shared files as the configuration names them: `~/` is the home, and what is not absolute is
/// beside the configuration.
pub fn shared_files(named: &[String]) -> Vec<PathBuf> {
    let folder = own_file().and_then(|file| file.parent().map(Path::to_owned)).unwrap_or_default();
    let home = directories::BaseDirs::new().map(|dirs| dirs.home_dir().to_owned());
    let place = |name: &String| match (name.strip_prefix("~/"), &home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => folder.join(name),
    };
    named.iter().map(place).collect()
}

/// The view with this name.
///
/// # Errors
/// There is none: with the names that there are, and what is wrong with the files.
pub fn find(known: &[KnownView], problems: Vec<Error>, name: &str) -> Result<SavedView> {
    if let Some(found) = known.iter().find(|known| known.view.name == name) {
        return Ok(found.view.clone());
    }
    if let Some(problem) = problems.into_iter().next() {
        return Err(problem);
    }
    let names: Vec<String> = known.iter().map(|one| format!("\"{}\"", one.view.name)).collect();
    let names = if names.is_empty() { "none at all".to_owned() } else { names.join(", ") };
    Err(Error::usage(format!("there is no saved view \"{name}\""))
        .hint(format!("there is {names}")))
}

/// Changes the views of a file, which is read anew before it; what it has then.
///
/// # Errors
/// The file cannot be read, is malformed, or cannot be written.
pub fn edit(file: &Path, edit: Edit) -> Result<Vec<SavedView>> {
    let mut views = read(file)?.unwrap_or_default();
    match edit {
        Edit::Remove(name) => views.retain(|view| view.name != name),
        Edit::Put(new) => {
            for view in &mut views {
                view.key = view.key.filter(|key| Some(*key) != new.key);
            }
            match views.iter_mut().find(|view| view.name == new.name) {
                Some(old) => *old = *new,
                None => views.push(*new),
            }
        }
    }
    let whole = Whole { views };
    let unwritten = |cause: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(format!("cannot write views \"{}\"", file.display()))
            .because(std::io::Error::other(cause))
    };
    let text = toml::to_string(&whole).map_err(|cause| unwritten(cause.into()))?;
    // A file that somebody keeps elsewhere and links to here stays a link.
    let place = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let folder = place.parent().map_or(Ok(()), files::make_folder);
    folder
        .and_then(|()| files::write_safely(&place, format!("{HEAD}{text}").as_bytes()))
        .map_err(|cause| unwritten(cause.into()))?;
    Ok(whole.views)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn view(name: &str, key: Option<u8>, filter: &str) -> SavedView {
        SavedView { name: name.into(), key, filter: filter.into(), ..SavedView::default() }
    }

    #[test]
    fn what_is_saved_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a/views.toml");
        assert_eq!(read(&file).unwrap(), None);
        let shape = Shape {
            form: Form::Table,
            group: Level::list("region,label:rack").unwrap(),
            columns: Some(Column::list("state,label:rack,age").unwrap()),
            sort: Some("-age".parse().unwrap()),
            wide: true,
        };
        let whole = SavedView::new("all of it", Some(3), "env=prod \"a b\"", &shape);
        edit(&file, Edit::Put(Box::new(whole.clone()))).unwrap();
        let plain = SavedView::new("plain", Some(3), "", &Shape::default());
        let views = edit(&file, Edit::Put(Box::new(plain.clone()))).unwrap();
        // The key goes to who asked for it last.
        assert_eq!(views, [SavedView { key: None, ..whole.clone() }, plain.clone()]);
        assert_eq!(read(&file).unwrap().unwrap(), views);
        assert_eq!((views[0].shape(), views[1].shape()), (shape, Shape::default()));
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("[[view]]\nname = \"plain\"\nkey = 3\n"), "{text}");
        let views = edit(&file, Edit::Remove("all of it".into())).unwrap();
        assert_eq!(views, [plain]);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_view_without_columns_or_levels_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("views.toml");
        let bare = Shape { group: Vec::new(), columns: Some(Vec::new()), ..Shape::default() };
        let view = SavedView::new("bare", None, "", &bare);
        edit(&file, Edit::Put(Box::new(view.clone()))).unwrap();
        assert_eq!(read(&file).unwrap().unwrap(), [view]);
    }

    #[test]
    fn ones_own_win_and_a_broken_file_leaves_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let file = dir.path().join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let own = put("own", "[[view]]\nname = \"db\"\nkey = 1\nfilter = \"role=db\"\n");
        let team = put(
            "team",
            "[[view]]\nname = \"db\"\n[[view]]\nname = \"web\"\nkey = 1\n[[view]]\nname = \"gpu\"\nkey = 2\n",
        );
        let broken = put("broken", "[[view]]\nname = \"x\"\nfilter = \"a && (\"\n");
        let missing = dir.path().join("missing");
        let (known, problems) = load(Some(&own), &[team.clone(), broken, missing]);
        let all: Vec<_> = known.iter().map(|one| (&one.view, one.shared.is_some())).collect();
        assert_eq!(
            all,
            [
                (&view("db", Some(1), "role=db"), false),
                (&view("web", None, ""), true),
                (&view("gpu", Some(2), ""), true)
            ]
        );
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(
            problems[0].contains("broken:3:10") && problems[0].contains("no filter"),
            "{problems:?}"
        );
        assert!(problems[1].contains("are not there"), "{problems:?}");
        let problem = find(&known, Vec::new(), "nope").unwrap_err();
        assert!(problem.next_step().unwrap().contains("\"db\", \"web\""));
        assert_eq!(find(&known, Vec::new(), "gpu").unwrap().key, Some(2));
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        for (text, wanted) in [
            ("[[view]]\nname = \"\"\n", ":2:8"),
            ("[[view]]\nname = \"x\"\nkey = 0\n", "digit from 1 to 9"),
            ("[[view]]\nname = \"x\"\nkey = 10\n", ":3:7"),
            ("[[view]]\nname = \"x\"\ncolour = 1\n", "colour"),
            ("[[view]]\nname = \"x\"\ngroup = \"a b\"\n", ":3:9"),
            ("[[view]]\nname = \"x\"\nform = \"cube\"\n", "table"),
            ("[[view]]\nname = \"x\"\n[[view]]\nname = \"x\"\n", "twice"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("views.toml");
            std::fs::write(&file, text).unwrap();
            let error = read(&file).unwrap_err();
            assert!(error.to_string().contains(wanted), "{text}: {error}");
            assert!(edit(&file, Edit::Remove("x".into())).is_err(), "a broken file stays as it is");
        }
    }
}
