//! Roles, and the styles that a theme gives them. Views ask for a role, never for a colour.

use std::path::Path;

use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;

use crate::error::{Error, Result};

/// What a piece of the screen means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Ordinary text; its background is the screen's.
    Text,
    /// Less important text.
    Muted,
    /// The line at the top.
    Header,
    /// Headings.
    Title,
    /// Lines between panes.
    Border,
    /// The line under the cursor.
    Selected,
    /// Letters that a filter matched.
    Match,
    /// Names of keys.
    Key,
    /// Text that is being typed.
    Input,
    /// Health: fine.
    Ok,
    /// Health: in maintenance.
    Maintenance,
    /// Health: stopped.
    Stopped,
    /// Health: something to look at.
    Warning,
    /// Health: broken.
    Bad,
    /// Health: not known.
    Unknown,
    /// What must not be overlooked: lost connection, read-only, errors.
    Alert,
    /// The change strip.
    Strip,
}

impl Role {
    /// Every role with the name that it has in a theme file.
    pub const ALL: [(Self, &'static str); 17] = [
        (Self::Text, "text"),
        (Self::Muted, "muted"),
        (Self::Header, "header"),
        (Self::Title, "title"),
        (Self::Border, "border"),
        (Self::Selected, "selected"),
        (Self::Match, "match"),
        (Self::Key, "key"),
        (Self::Input, "input"),
        (Self::Ok, "ok"),
        (Self::Maintenance, "maintenance"),
        (Self::Stopped, "stopped"),
        (Self::Warning, "warning"),
        (Self::Bad, "bad"),
        (Self::Unknown, "unknown"),
        (Self::Alert, "alert"),
        (Self::Strip, "strip"),
    ];
}

/// The themes that are built in, by name.
pub const BUILT_IN: [(&str, &str); 4] = [
    ("night", include_str!("../../themes/night.toml")),
    ("day", include_str!("../../themes/day.toml")),
    ("clear", include_str!("../../themes/clear.toml")),
    ("terminal", include_str!("../../themes/terminal.toml")),
];

/// A style for every role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Name of the theme.
    pub name: String,
    styles: [Style; Role::ALL.len()],
}

impl Theme {
    /// The style of a role.
    pub fn style(&self, role: Role) -> Style {
        Role::ALL
            .iter()
            .position(|(r, _)| *r == role)
            .and_then(|i| self.styles.get(i))
            .copied()
            .unwrap_or_default()
    }

    /// Finds a theme: a built-in one, else `<folder>/<name>.toml`.
    ///
    /// # Errors
    /// No such theme (the ones that exist are named), or its file is malformed (with the place).
    pub fn load(name: &str, folder: Option<&Path>) -> Result<Self> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(n, _)| *n == name) {
            return Self::parse(name, text)
                .map_err(|cause| Error::usage(format!("built-in theme \"{name}\": {cause}")));
        }
        let plain =
            !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_".contains(c));
        if let Some(path) = folder.filter(|_| plain).map(|f| f.join(format!("{name}.toml"))) {
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    return Self::parse(name, &text).map_err(|cause| {
                        Error::usage(format!(
                            "theme file \"{}\" is malformed: {cause}",
                            path.display()
                        ))
                        .hint("the built-in themes in themes/ of the source show the form")
                    });
                }
                Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
                Err(cause) => {
                    return Err(Error::usage(format!(
                        "cannot read theme file \"{}\"",
                        path.display()
                    ))
                    .because(cause));
                }
            }
        }
        let names: Vec<&str> = BUILT_IN.iter().map(|(n, _)| *n).collect();
        let own = folder.map(|f| format!(", or a file in \"{}\"", f.display())).unwrap_or_default();
        Err(Error::usage(format!("there is no theme \"{name}\""))
            .hint(format!("name one of {}{own}", names.join(", "))))
    }

    /// Reads a theme file.
    ///
    /// # Errors
    /// What is wrong and where, as one text.
    pub fn parse(name: &str, text: &str) -> std::result::Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
        let mut styles = [Style::default(); Role::ALL.len()];
        for (style, (_, key)) in styles.iter_mut().zip(Role::ALL) {
            let spec = file.roles.get(key).ok_or_else(|| format!("role \"{key}\" is missing"))?;
            *style = spec.style().map_err(|problem| format!("role \"{key}\": {problem}"))?;
        }
        if let Some(key) =
            file.roles.keys().find(|k| !Role::ALL.iter().any(|(_, known)| known == k))
        {
            return Err(format!("there is no role \"{key}\""));
        }
        Ok(Self { name: name.to_owned(), styles })
    }

    /// The same theme without any colour: what was told apart by a background is reversed.
    #[must_use]
    pub fn without_colour(mut self) -> Self {
        for (style, (role, _)) in self.styles.iter_mut().zip(Role::ALL) {
            let reversed = matches!(role, Role::Selected | Role::Header | Role::Alert);
            style.fg = None;
            style.bg = None;
            if reversed {
                *style = style.add_modifier(Modifier::REVERSED);
            }
        }
        self
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// For people: `dark`, `light` or `terminal`.
    #[serde(rename = "kind")]
    _kind: String,
    roles: std::collections::BTreeMap<String, Spec>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each modifier, as the file has them")]
struct Spec {
    fg: Option<String>,
    bg: Option<String>,
    bold: bool,
    underline: bool,
    reversed: bool,
    italic: bool,
}

impl Spec {
    fn style(&self) -> std::result::Result<Style, String> {
        let mut style = Style {
            fg: colour(self.fg.as_deref())?,
            bg: colour(self.bg.as_deref())?,
            ..Style::default()
        };
        for (on, modifier) in [
            (self.bold, Modifier::BOLD),
            (self.underline, Modifier::UNDERLINED),
            (self.reversed, Modifier::REVERSED),
            (self.italic, Modifier::ITALIC),
        ] {
            if on {
                style = style.add_modifier(modifier);
            }
        }
        Ok(style)
    }
}

fn colour(text: Option<&str>) -> std::result::Result<Option<Color>, String> {
    let Some(text) = text else { return Ok(None) };
    let wrong =
        || format!("\"{text}\" is no colour: write #rrggbb or a name such as cyan or bright-black");
    let name = match text {
        "bright-black" => "darkgray".to_owned(),
        other => other.replace("bright-", "light"),
    };
    name.parse::<Color>().ok().map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance, WCAG 2.1.
    fn luminance(colour: Color) -> Option<f64> {
        let Color::Rgb(r, g, b) = colour else { return None };
        let part = |c: u8| {
            let c = f64::from(c) / 255.0;
            if c <= 0.03928 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        Some(0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b))
    }

    fn contrast(a: Color, b: Color) -> Option<f64> {
        let (a, b) = (luminance(a)?, luminance(b)?);
        Some((a.max(b) + 0.05) / (a.min(b) + 0.05))
    }

    #[test]
    fn every_theme_has_every_role_and_can_be_read() {
        for (name, _) in BUILT_IN {
            let theme = Theme::load(name, None).unwrap();
            let screen = theme.style(Role::Text).bg;
            for (role, key) in Role::ALL {
                let style = theme.style(role);
                let (Some(fg), Some(bg)) =
                    (style.fg.or_else(|| theme.style(Role::Text).fg), style.bg.or(screen))
                else {
                    continue;
                };
                let wanted = if role == Role::Border { 1.4 } else { 4.5 };
                if let Some(contrast) = contrast(fg, bg) {
                    assert!(contrast >= wanted, "{name}: {key} has a contrast of {contrast:.1}");
                }
            }
            let health = [Role::Ok, Role::Maintenance, Role::Warning, Role::Bad];
            for (i, a) in health.iter().enumerate() {
                for b in &health[i + 1..] {
                    assert_ne!(theme.style(*a), theme.style(*b), "{name}: {a:?} and {b:?}");
                }
            }
        }
    }

    #[test]
    fn an_unknown_theme_names_the_known_ones() {
        let error = Theme::load("nigth", None).unwrap_err();
        assert_eq!(error.to_string(), "there is no theme \"nigth\"");
        assert!(error.next_step().unwrap().contains("night, day, clear, terminal"));
        assert!(Theme::load("../../etc/passwd", Some(Path::new("/"))).is_err());
    }

    #[test]
    fn a_malformed_file_says_where() {
        let dir = tempfile::tempdir().unwrap();
        let text = BUILT_IN[0].1;
        for (broken, wanted) in [
            (text.replace("ok          = { fg = \"#8fcf8f\" }", ""), "role \"ok\" is missing"),
            (text.replace("#8fcf8f", "greenish"), "role \"ok\": \"greenish\" is no colour"),
            (text.replace("[roles]", "[roles"), "line 4"),
            (format!("{text}\nnope = {{}}"), "there is no role \"nope\""),
        ] {
            std::fs::write(dir.path().join("own.toml"), broken).unwrap();
            let error = Theme::load("own", Some(dir.path())).unwrap_err();
            assert!(error.to_string().contains(wanted), "{error}");
            assert!(error.to_string().contains("own.toml"), "{error}");
        }
    }

    #[test]
    fn no_colour_leaves_no_colour() {
        for (name, _) in BUILT_IN {
            let theme = Theme::load(name, None).unwrap().without_colour();
            assert!(
                Role::ALL
                    .iter()
                    .all(|(r, _)| theme.style(*r).fg.is_none() && theme.style(*r).bg.is_none())
            );
            assert_ne!(theme.style(Role::Selected), theme.style(Role::Text));
        }
    }
}
