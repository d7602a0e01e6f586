//! The line that says with which keys to begin. It is there the first time that a person starts the
//! explorer, and goes when keys are used.

use super::Model;
use crate::ui::actions::{Action, Group, find};

/// Keys that only move, before it goes all the same.
const MOVES: u8 = 10;

/// The keys to begin with, the ones to know first: what there is no room for is left out.
pub const KEYS: [(Action, &str); 6] = [
    (Action::Help, "all keys"),
    (Action::Filter, "find"),
    (Action::Maintenance, "maintenance"),
    (Action::Guide, "guide"),
    (Action::Back, "back"),
    (Action::Quit, "leave"),
];

/// How often one may still move before the greeting goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting(u8);

impl Model {
    /// Says with which keys to begin.
    pub fn greet(&mut self) {
        self.greeting = Some(Greeting(MOVES));
    }

    /// Whether the greeting can be seen: what is said to the person goes before it.
    pub fn greets(&self) -> bool {
        self.greeting.is_some() && self.notice.is_none() && self.servers.lost().is_none()
    }

    /// An action is asked for: who moves may look at the greeting a while longer.
    pub(super) fn greeted(&mut self, action: Action) {
        if !self.greets() {
            return;
        }
        let moves = find(action).is_some_and(|row| row.group == Group::Move);
        self.greeting = match self.greeting {
            Some(Greeting(left @ 1..)) if moves => Some(Greeting(left - 1)),
            _ => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use crate::ui::app::Model;
    use crate::ui::testing::{fleet, press, screen};

    fn started(width: u16) -> Model {
        let mut model = fleet(width, 20);
        model.greet();
        model
    }

    #[test]
    fn it_names_the_keys_to_begin_with_and_goes_when_one_is_used() {
        let mut model = started(80);
        let all = "To begin  ? all keys  / find  m maintenance  :help guide  esc back  :quit leave";
        assert!(screen(&model).contains(all), "{}", screen(&model));
        press(&mut model, "jjk");
        assert!(screen(&model).contains("To begin"), "who moves looks at it still");
        press(&mut model, "/");
        assert!(!screen(&model).contains("To begin"));
        press(&mut model, "<esc>");
        assert!(!screen(&model).contains("To begin"), "it does not come again");
    }

    #[test]
    fn it_goes_by_and_by_and_gives_way_to_what_is_said() {
        let mut model = started(80);
        press(&mut model, "jjjjjjjjjj");
        assert!(screen(&model).contains("To begin"));
        press(&mut model, "j");
        assert!(!screen(&model).contains("To begin"));
        let mut model = started(80);
        model.fail("something to read first");
        assert!(!screen(&model).contains("To begin"));
        press(&mut model, "<esc>");
        assert!(screen(&model).contains("To begin"), "now it can be seen");
    }

    #[test]
    fn it_shows_the_keys_in_force_and_what_fits() {
        let mut model = started(40);
        let own = toml::from_str("keys = [\"f2\"]").unwrap();
        model.settings.keymap = crate::ui::keymap::Keymap::new(&own).unwrap();
        let screen = screen(&model);
        assert!(screen.contains("To begin  f2 all keys  / find"), "{screen}");
        assert!(!screen.contains("maint"), "nothing is cut in two: {screen}");
        assert!(!screen.contains("quit"), "{screen}");
    }
}
