//! The configuration and the theme while the program runs.

use super::{Model, Servers};
use crate::config::AUTO;
use crate::model::key::ServerId;
use crate::ui::configured::{Configured, Own};
use crate::ui::msg::Command;
use crate::ui::theme::Theme;

impl Model {
    /// Asks for a theme by its name; it is in force when its answer comes, if nobody asks for another
    /// one before.
    pub(super) fn want_theme(&mut self, name: &str) -> Vec<Command> {
        self.theming += 1;
        self.theme_wanted = Some(self.theming);
        vec![Command::Theme { generation: self.theming, name: name.to_owned() }]
    }

    /// The theme behind the one in force, and from the last on the first.
    pub(super) fn next_theme(&mut self) -> Vec<Command> {
        let names = &self.settings.themes;
        let at = names.iter().position(|name| *name == self.settings.theme).map_or(0, |at| at + 1);
        let next = names.get(at).or_else(|| names.first()).cloned();
        match next {
            Some(name) => {
                self.say(format!("theme {name}"));
                self.want_theme(&name)
            }
            None => Vec::new(),
        }
    }

    /// A theme was read; one that cannot be read leaves the old one in force. Answers come in any
    /// order: only that to the last question counts.
    pub(super) fn theme_read(
        &mut self,
        generation: u64,
        name: String,
        result: Result<Box<Theme>, String>,
    ) {
        if self.theme_wanted != Some(generation) {
            return;
        }
        self.theme_wanted = None;
        match result {
            Ok(theme) => {
                self.settings.theme = name;
                self.new_theme = Some(theme);
            }
            Err(why) => self.fail(format!("theme not changed: {why}")),
        }
    }

    /// A person's own themes are other ones: the one in force may be among them.
    pub(super) fn themes_changed(&mut self, names: Vec<String>) -> Vec<Command> {
        self.settings.themes = with_auto(names);
        let name = self.settings.theme.clone();
        if self.settings.themes.contains(&name) { self.want_theme(&name) } else { Vec::new() }
    }

    /// The file has changed: what can is in force from now on, and the rest is named. A mistake
    /// leaves everything as it was.
    pub(super) fn configured(&mut self, new: Result<Box<Configured>, String>) -> Vec<Command> {
        let mut new = match new {
            Ok(new) => *new,
            Err(why) => {
                self.fail(format!("configuration not changed: {why}"));
                return Vec::new();
            }
        };
        let old = &self.settings.config;
        let context = match new.own.as_slice() {
            [] => self.servers.get(ServerId::FIRST).settings.context.clone(),
            _ => String::new(),
        };
        let later = old.at_next_start(&new.config, &context);
        let theme = (old.theme != new.config.theme).then(|| new.config.theme.clone());
        let mut stricter = new.config.read_only && !old.read_only;
        // What is on the screen goes on to be so.
        new.config.context.clone_from(&old.context);
        new.config.namespace.clone_from(&old.namespace);
        new.config.filter.clone_from(&old.filter);
        new.config.theme_dark.clone_from(&old.theme_dark);
        new.config.theme_light.clone_from(&old.theme_light);
        new.config.read_only |= old.read_only;
        new.config.maintenance.keep_protected(&old.maintenance);
        let (mut disarmed, mut laters) = (String::new(), Vec::new());
        if new.own.is_empty() {
            let server = &mut self.servers.get_mut(ServerId::FIRST).settings;
            stricter |= new.production && !server.production;
            if server.production && !new.production {
                new.config.production_contexts.push(context);
            }
            server.production |= new.production;
            if stricter {
                self.disarm_all();
                "; writing is disarmed".clone_into(&mut disarmed);
            }
        } else {
            let own = std::mem::take(&mut new.own);
            let names = self.servers.configured(own, &later, &mut laters);
            if !names.is_empty() {
                disarmed = format!("; writing is disarmed on {}", names.join(", "));
            }
        }
        self.settings.ascii = new.config.ascii || self.settings.only_ascii;
        self.settings.keymap = new.keymap;
        self.settings.config = new.config;
        self.pending = super::keys::Pending::default();
        laters.splice(0..0, later.into_iter().map(ToOwned::to_owned));
        let rest = match laters.as_slice() {
            [] => String::new(),
            names => format!("; at the next start: {}", names.join(", ")),
        };
        self.say(format!("the configuration has changed and is in force{disarmed}{rest}"));
        theme.map(|name| self.want_theme(&name)).unwrap_or_default()
    }
}

impl Servers {
    /// What is said of the context of each has changed; `general` are the settings that the screen
    /// takes in at the next start. Returns the names of those where writing is disarmed by that;
    /// `later` gets what is taken in there at the next start.
    fn configured(
        &mut self,
        own: Vec<Own>,
        general: &[&str],
        later: &mut Vec<String>,
    ) -> Vec<String> {
        let mut disarmed = Vec::new();
        for (server, new) in self.iter_mut().zip(own) {
            let Own { mut config, production } = new;
            let settings = &mut server.settings;
            let Some(old) = settings.own.as_deref() else { continue };
            let name = settings.context.clone();
            for (differs, word) in [
                (old.namespace != config.namespace, "namespace"),
                (old.read_only && !config.read_only, "read-only"),
                (settings.production && !production, "production"),
                (old.maintenance.has_more_protected_than(&config.maintenance), "protected-labels"),
            ] {
                if differs && !general.contains(&word) {
                    later.push(format!("{name}: {word}"));
                }
            }
            let stricter = config.read_only && !old.read_only || production && !settings.production;
            config.namespace.clone_from(&old.namespace);
            config.read_only |= old.read_only;
            config.maintenance.keep_protected(&old.maintenance);
            settings.production |= production;
            settings.own = Some(Box::new(config));
            if stricter {
                server.disarm();
                disarmed.push(name);
            }
        }
        disarmed
    }
}

/// The names of all themes, [`AUTO`] first.
pub fn with_auto(names: Vec<String>) -> Vec<String> {
    std::iter::once(AUTO.to_owned()).chain(names).collect()
}

#[cfg(test)]
mod tests {
    use crate::ui::msg::{Command, Msg};
    use crate::ui::testing::{fleet, send};
    use crate::ui::theme::Theme;

    #[test]
    fn of_two_themes_that_were_asked_for_the_last_one_stays() {
        let mut model = fleet(80, 20);
        let names = vec!["night".to_owned(), "day".to_owned()];
        let mut asked = send(&mut model, Msg::Themes(names));
        asked.extend(model.want_theme("day"));
        assert!(!model.settled());
        // Each is read by a task of its own, and the last one may be the first that is done.
        for command in asked.into_iter().rev() {
            let Command::Theme { generation, name } = command else { continue };
            let result = Ok(Box::new(Theme::load(&name, None).unwrap()));
            send(&mut model, Msg::Theme { generation, name, result });
        }
        assert_eq!(model.settings.theme, "day");
        assert_eq!(model.new_theme.as_ref().map(|theme| theme.name.as_str()), Some("day"));
    }
}
