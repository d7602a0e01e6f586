//! Jumping out to a host: a command with the terminal for itself, a page in a browser.

use ratatui::crossterm::event::{KeyCode, KeyEvent};

use super::{Model, Overlay};
use crate::model::row::HostRow;
use crate::ui::msg::Command;

/// A page of a host: its name in the configuration, and its address.
pub type Page = (String, String);

impl Model {
    /// What a placeholder of a template stands for, for a host.
    fn placeholder(&self, row: &HostRow, name: &str) -> Option<String> {
        let text = match name {
            "address" => return row.address().map(ToOwned::to_owned),
            "provider-id" => return row.provider_id().map(ToOwned::to_owned),
            "id" => row.provider_id()?.rsplit('/').next()?,
            "name" => row.name(),
            "display" => row.display(),
            "provider" => row.provider(),
            "region" => row.region(),
            "zone" => row.zone(),
            "cluster" => row.cluster(),
            "role" => row.role(),
            "team" => row.team(),
            "environment" => row.environment(),
            "namespace" => row.namespace(),
            other => {
                let wanted = other.strip_prefix("label:")?;
                self.inventory.labels(row).find(|(key, _)| *key == wanted)?.1
            }
        };
        Some(text.to_owned())
    }

    /// The words of the ssh command for a host, or a sentence why there is none.
    pub(super) fn ssh_words(&self, row: &HostRow) -> Result<Vec<String>, String> {
        self.config_on(row.uid().server()).ssh.fill(|name| self.placeholder(row, name))
    }

    /// The pages of a host.
    fn pages(&self, row: &HostRow) -> Vec<Page> {
        let links = self.config_on(row.uid().server()).browser.iter();
        links
            .filter_map(|(name, link)| {
                Some((name.clone(), link.fill(|name| self.placeholder(row, name))?))
            })
            .take(KEYS.len())
            .collect()
    }

    /// `s`: gives the terminal to the ssh command of the host under the cursor.
    pub(super) fn ssh(&mut self) -> Vec<Command> {
        let Some(row) = self.host() else {
            self.say("ssh is for a host: move the cursor to one");
            return Vec::new();
        };
        match self.ssh_words(row) {
            Ok(words) => vec![Command::Outside(words)],
            Err(why) => {
                self.fail(format!("cannot log in: {why}"));
                Vec::new()
            }
        }
    }

    /// `b`: opens the page of the host under the cursor; of several, asks which.
    pub(super) fn browse(&mut self) -> Vec<Command> {
        let Some(row) = self.host() else {
            self.say("a page in the browser is for a host: move the cursor to one");
            return Vec::new();
        };
        let mut pages = self.pages(row);
        match pages.len() {
            0 => {
                self.fail(
                    "no page is known for this host: [browser] in the configuration names them",
                );
                Vec::new()
            }
            1 => pages.pop().map(|(_, url)| Command::Browse(url)).into_iter().collect(),
            _ => {
                self.overlay = Overlay::Browse(pages);
                Vec::new()
            }
        }
    }

    /// What came of a page that was to be opened: one that could not is copied.
    pub(super) fn browsed(&mut self, url: String, result: Result<(), String>) -> Vec<Command> {
        match result {
            Ok(()) => {
                self.say(format!("opened {url}"));
                Vec::new()
            }
            Err(why) => {
                self.copied_instead = Some(format!("{why}: {url}"));
                vec![Command::Copy(url)]
            }
        }
    }
}

/// The keys of the pages, in their order.
pub const KEYS: [char; 18] =
    ['1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'];

/// The menu of pages.
pub(super) fn in_menu(model: &mut Model, pages: Vec<Page>, key: KeyEvent) -> Vec<Command> {
    match key.code {
        KeyCode::Esc | KeyCode::Char('q') => return Vec::new(),
        KeyCode::Char(letter) if key.modifiers.is_empty() => {
            let chosen = KEYS.iter().position(|key| *key == letter).and_then(|n| pages.get(n));
            if let Some((_, url)) = chosen {
                return vec![Command::Browse(url.clone())];
            }
        }
        _ => {}
    }
    model.overlay = Overlay::Browse(pages);
    Vec::new()
}
