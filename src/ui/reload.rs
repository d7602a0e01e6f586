//! Looks for changes of the configuration and of a person's own themes while the explorer runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::configured::{self, Configured, Given};
use super::msg::Msg;
use super::theme;
use crate::config::check::Wrong;
use crate::config::{self, Read};
use crate::error;

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// What tells that a file is another one: time, length, and its number where there is one.
type Mark = (Option<SystemTime>, u64, u64);

/// The files as they are.
type Marks = BTreeMap<PathBuf, Mark>;

/// The context that the configuration is for, or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// One.
    One(String),
    /// The screen shows the hosts of these.
    Several(Vec<String>),
}

/// Looks at the files, remembering what it saw.
#[derive(Debug)]
pub struct Reload {
    given: Given,
    shown: Shown,
    /// The default file, and the folder of own themes.
    places: (Option<PathBuf>, Option<PathBuf>),
    /// What is in force, or was refused.
    taken: Marks,
    /// What the last look saw.
    seen: Marks,
    /// The text that was read last, or why it could not be read.
    text: Result<Option<String>, String>,
    /// The text was refused, perhaps for a theme that was not there.
    refused: bool,
}

impl Reload {
    /// Looks as of now: what is there is in force.
    pub fn new(given: Given, shown: Shown) -> Self {
        Self::within(given, shown, (config::default_file(), config::themes_folder()))
    }

    fn within(given: Given, shown: Shown, places: (Option<PathBuf>, Option<PathBuf>)) -> Self {
        let mut reload = Self {
            given,
            shown,
            places,
            taken: Marks::new(),
            seen: Marks::new(),
            text: Ok(None),
            refused: false,
        };
        reload.seen = reload.marks();
        reload.taken.clone_from(&reload.seen);
        reload.text = reload.read().map(|read| read.text).map_err(|why| error::chain(&why));
        reload
    }

    fn file(&self) -> Option<&Path> {
        self.given.file.as_deref().or(self.places.0.as_deref())
    }

    fn read(&self) -> error::Result<Read> {
        match (&self.given.file, &self.places.0) {
            (None, Some(file)) if !file.exists() => {
                Ok(Read { path: Some(file.clone()), text: None })
            }
            (Some(file), _) | (None, Some(file)) => config::read(Some(file)),
            (None, None) => Ok(Read::default()),
        }
    }

    fn marks(&self) -> Marks {
        let folder = self.places.1.as_deref();
        let own = theme::names(folder).into_iter().skip(theme::BUILT_IN.len());
        let themes = own.filter_map(|name| theme::file_of(&name, folder));
        let files = self.file().map(Path::to_owned).into_iter().chain(themes);
        files.filter_map(|path| mark(&path).map(|mark| (path, mark))).collect()
    }

    /// What has changed since the last change. A file that is being written is left until two looks
    /// see the same.
    pub fn look(&mut self) -> Vec<Msg> {
        let now = self.marks();
        let still = now == self.seen;
        self.seen = now;
        if !still || self.seen == self.taken {
            return Vec::new();
        }
        let before = std::mem::replace(&mut self.taken, self.seen.clone());
        let file = self.file().map(Path::to_owned);
        let themes = |marks: &Marks| {
            let mut marks = marks.clone();
            file.as_ref().map(|file| marks.remove(file));
            marks
        };
        let mut messages = Vec::new();
        let other_themes = themes(&before) != themes(&self.taken);
        if other_themes {
            messages.push(Msg::Themes(theme::names(self.places.1.as_deref())));
        }
        let read = self.read();
        let text = read.as_ref().map(|read| read.text.clone()).map_err(|why| error::chain(why));
        if text != self.text || other_themes && self.refused {
            self.text = text;
            let configured = match read {
                Ok(read) => self.configured(&read),
                Err(why) => Err(error::chain(&why)),
            };
            self.refused = configured.is_err();
            messages.push(Msg::Configured(configured));
        }
        messages
    }

    /// What the text means here; the error has the first mistake, which must fit on a line.
    fn configured(&self, read: &Read) -> Result<Box<Configured>, String> {
        let themes = self.places.1.as_deref();
        match configured::parse(read, themes) {
            Ok(config) => Ok(Box::new(match &self.shown {
                Shown::One(context) => Configured::new(config, context, &self.given.overrides),
                Shown::Several(contexts) => {
                    Configured::of_several(&config, contexts, &self.given.overrides)
                }
            })),
            Err(wrong) => {
                let name = read.path.as_deref().and_then(Path::file_name).unwrap_or_default();
                let more = match wrong.len() {
                    0 | 1 => String::new(),
                    n => format!(" ({} more)", n - 1),
                };
                Err(wrong.first().map_or_else(
                    String::new,
                    |Wrong { line, column, what, .. }| {
                        let what = short(what, themes);
                        format!("{}:{line}:{column}{more}: {what}", name.to_string_lossy())
                    },
                ))
            }
        }
    }
}

/// A text with the files of a folder named without it.
pub fn short(text: &str, folder: Option<&Path>) -> String {
    match folder {
        Some(folder) => text.replace(&format!("{}/", folder.display()), ""),
        None => text.to_owned(),
    }
}

fn mark(path: &Path) -> Option<Mark> {
    let about = std::fs::metadata(path).ok()?;
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&about);
    #[cfg(not(unix))]
    let number = 0;
    Some((about.modified().ok(), about.len(), number))
}

/// Looks about once a second, and tells what has changed. Ends with the explorer.
pub async fn follow(mut reload: Reload, messages: mpsc::Sender<Msg>) {
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        // A folder on a network may take its time.
        let looked = tokio::task::spawn_blocking(move || {
            let messages = reload.look();
            (reload, messages)
        });
        let Ok((back, news)) = looked.await else { return };
        reload = back;
        for msg in news {
            if messages.send(msg).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        dir: tempfile::TempDir,
        reload: Reload,
    }

    impl World {
        fn new(text: Option<&str>) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (file, themes) = (dir.path().join("config.toml"), dir.path().join("themes"));
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            let shown = Shown::One("prod".into());
            let reload = Reload::within(Given::default(), shown, (Some(file), Some(themes)));
            Self { dir, reload }
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            // Another file in its place, as editors write: its number tells it from the old one.
            let next = path.with_extension("next");
            std::fs::write(&next, text).unwrap();
            std::fs::rename(&next, &path).unwrap();
        }

        /// What the second look after a change tells; the first one waits.
        fn told(&mut self) -> Vec<Msg> {
            assert!(self.reload.look().is_empty(), "the first look waits");
            self.reload.look()
        }
    }

    #[test]
    fn a_change_is_told_once_it_stands_still_and_a_mistake_with_its_place() {
        let mut world = World::new(None);
        assert!(world.reload.look().is_empty() && world.reload.look().is_empty());
        world.write("config.toml", "[contexts.prod]\ntheme = \"dusk\"\n");
        let told = world.told();
        let [Msg::Configured(Ok(new))] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(new.config.theme, "dusk");
        assert!(world.reload.look().is_empty(), "it is told once");

        world.write("config.toml", "them = 1\nascii = 2\n");
        let told = world.told();
        let [Msg::Configured(Err(why))] = told.as_slice() else { panic!("{told:?}") };
        assert!(why.starts_with("config.toml:1:1 (1 more): "), "{why}");

        std::fs::remove_file(world.dir.path().join("config.toml")).unwrap();
        let told = world.told();
        let [Msg::Configured(Ok(new))] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(new.config, config::Config::default());
    }

    #[test]
    fn of_several_contexts_each_has_what_is_said_of_it() {
        let mut world = World::new(None);
        world.reload.shown = Shown::Several(vec!["eu".into(), "us".into()]);
        world.write("config.toml", "[contexts.us]\ntheme = \"dusk\"\nproduction = true\n");
        let told = world.told();
        let [Msg::Configured(Ok(new))] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((new.config.theme.as_str(), new.production), ("auto", false));
        let own: Vec<bool> = new.own.iter().map(|own| own.production).collect();
        assert_eq!(own, [false, true]);
    }

    #[test]
    fn the_same_text_in_another_file_is_no_change() {
        let mut world = World::new(Some("ascii = true\n"));
        world.write("config.toml", "ascii = true\n");
        assert!(world.told().is_empty());
    }

    #[test]
    fn themes_that_come_change_and_go_are_told() {
        let mut world = World::new(None);
        let own = |told: Vec<Msg>| match told.as_slice() {
            [Msg::Themes(names)] => names[theme::BUILT_IN.len()..].to_vec(),
            other => panic!("{other:?}"),
        };
        world.write("themes/mine.toml", "x");
        assert_eq!(own(world.told()), ["mine"]);
        world.write("themes/mine.toml", "y");
        assert_eq!(own(world.told()), ["mine"]);
        std::fs::remove_file(world.dir.path().join("themes/mine.toml")).unwrap();
        assert!(own(world.told()).is_empty());
    }
}
