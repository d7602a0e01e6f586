//! Roles, and the styles that a theme gives them. Views ask for a role, never for a colour.

use std::path::{Path, PathBuf};

use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;

use crate::config::{Misread, check, from_toml};
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
pub const BUILT_IN: [(&str, &str); 10] = [
    ("night", include_str!("../../themes/night.toml")),
    ("day", include_str!("../../themes/day.toml")),
    ("dusk", include_str!("../../themes/dusk.toml")),
    ("ocean", include_str!("../../themes/ocean.toml")),
    ("paper", include_str!("../../themes/paper.toml")),
    ("clear", include_str!("../../themes/clear.toml")),
    ("clear-day", include_str!("../../themes/clear-day.toml")),
    ("contrast", include_str!("../../themes/contrast.toml")),
    ("contrast-day", include_str!("../../themes/contrast-day.toml")),
    ("terminal", include_str!("../../themes/terminal.toml")),
];

/// How many colours a terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// 24-bit colour.
    Rgb,
    /// The 256 colours of xterm.
    Indexed,
    /// Sixteen, of the terminal's own choice.
    Sixteen,
}

/// The names of all themes: those that are built in, then the files of a folder by name.
pub fn names(folder: Option<&Path>) -> Vec<String> {
    let mut names: Vec<String> = BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).collect();
    let entries = folder.and_then(|folder| std::fs::read_dir(folder).ok());
    let mut own: Vec<String> = entries
        .into_iter()
        .flatten()
        .take(MAX_FILES)
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_stem()?.to_str()?.to_owned();
            let ours = path.extension().is_some_and(|end| end == "toml")
                && file_of(&name, folder).is_some()
                && !names.contains(&name);
            ours.then_some(name)
        })
        .collect();
    own.sort();
    names.extend(own);
    names
}

/// Most files of a folder of themes that are looked at.
const MAX_FILES: usize = 1_000;

/// The file of a theme with this name; none: nothing of this name can be a file.
pub fn file_of(name: &str, folder: Option<&Path>) -> Option<PathBuf> {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_".contains(c));
    folder.filter(|_| plain).map(|folder| folder.join(format!("{name}.toml")))
}

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
        if let Some(path) = file_of(name, folder) {
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    return Self::parse(name, &text).map_err(|Misread { line, column, what }| {
                        let path = path.display();
                        Error::usage(format!(
                            "theme file \"{path}:{line}:{column}\" is malformed: {what}"
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
    /// What is wrong and where.
    pub fn parse(name: &str, text: &str) -> std::result::Result<Self, Misread> {
        let file: File = from_toml(text)?;
        let wrong = |key: &str, what: String| {
            let (line, column) = check::find(text, &["roles", key]);
            Misread { line, column, what }
        };
        let mut styles = [Style::default(); Role::ALL.len()];
        for (style, (_, key)) in styles.iter_mut().zip(Role::ALL) {
            let spec = file
                .roles
                .get(key)
                .ok_or_else(|| wrong(key, format!("role \"{key}\" is missing")))?;
            *style =
                spec.style().map_err(|problem| wrong(key, format!("role \"{key}\": {problem}")))?;
        }
        if let Some(key) =
            file.roles.keys().find(|k| !Role::ALL.iter().any(|(_, known)| known == k))
        {
            return Err(wrong(key, format!("there is no role \"{key}\"")));
        }
        Ok(Self { name: name.to_owned(), styles })
    }

    /// The same theme as a terminal with these colours can show it.
    #[must_use]
    pub fn at(mut self, depth: Depth) -> Self {
        let rgb =
            |style: &Style| [style.fg, style.bg].iter().any(|c| matches!(c, Some(Color::Rgb(..))));
        match depth {
            Depth::Indexed => {
                for style in &mut self.styles {
                    style.fg = style.fg.map(indexed);
                    style.bg = style.bg.map(indexed);
                }
            }
            // Which of sixteen is near depends on the terminal's own choice of them.
            Depth::Sixteen if self.styles.iter().any(rgb) => {
                if let Ok(sixteen) = Self::load("terminal", None) {
                    self.styles = sixteen.styles;
                }
            }
            Depth::Rgb | Depth::Sixteen => {}
        }
        self
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

/// The nearest of the 256 colours of xterm that are the same everywhere: its cube of 216 and its
/// 24 greys.
fn indexed(colour: Color) -> Color {
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let Color::Rgb(r, g, b) = colour else { return colour };
    let away = |x: u8, y: u8| u32::from(x.abs_diff(y)).pow(2);
    let near = |part: u8| (0_u8..).zip(STEPS).min_by_key(|(_, step)| away(part, *step));
    let (Some(red), Some(green), Some(blue)) = (near(r), near(g), near(b)) else { return colour };
    let cube = away(r, red.1) + away(g, green.1) + away(b, blue.1);
    let grey = (0..24_u8).map(|n| {
        let light = 8 + 10 * n;
        (away(r, light) + away(g, light) + away(b, light), n)
    });
    match grey.min() {
        Some((off, n)) if off < cube => Color::Indexed(232 + n),
        _ => Color::Indexed(16 + 36 * red.0 + 6 * green.0 + blue.0),
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

    /// The surfaces on which text of any role can stand.
    const SURFACES: [Role; 4] = [Role::Selected, Role::Header, Role::Strip, Role::Input];
    const HEALTH: [Role; 4] = [Role::Ok, Role::Maintenance, Role::Warning, Role::Bad];

    /// What the contrast must be: WCAG 2.1 AA, and AAA where the name promises it.
    fn wanted(name: &str) -> f64 {
        if name.starts_with("contrast") { 7.0 } else { 4.5 }
    }

    /// Every pair that can meet on the screen: who it is, the contrast, and on the screen's own
    /// background or not.
    fn pairs(theme: &Theme, value: impl Fn(Color) -> Color) -> Vec<(String, f64, bool)> {
        let text = theme.style(Role::Text);
        let (Some(ink), Some(screen)) = (text.fg, text.bg) else { return Vec::new() };
        let mut pairs = Vec::new();
        for (role, key) in Role::ALL {
            let style = theme.style(role);
            let (fg, bg) = (style.fg.unwrap_or(ink), style.bg.unwrap_or(screen));
            let own = contrast(value(fg), value(bg)).unwrap();
            if role == Role::Border {
                assert!(own >= 1.4, "{}: lines have a contrast of {own:.2}", theme.name);
                continue;
            }
            pairs.push((key.to_owned(), own, true));
            for surface in SURFACES.iter().filter(|_| style.bg.is_none()) {
                let bg = theme.style(*surface).bg.unwrap_or(screen);
                let ratio = contrast(value(fg), value(bg)).unwrap();
                pairs.push((format!("{key} on {surface:?}"), ratio, false));
            }
        }
        pairs
    }

    #[test]
    fn every_theme_has_every_role_and_can_be_read() {
        for (name, _) in BUILT_IN {
            let theme = Theme::load(name, None).unwrap();
            for (who, contrast, _) in pairs(&theme, |colour| colour) {
                assert!(contrast >= wanted(name), "{name}: {who} has a contrast of {contrast:.2}");
            }
            for (i, a) in HEALTH.iter().enumerate() {
                for b in &HEALTH[i + 1..] {
                    assert_ne!(theme.style(*a), theme.style(*b), "{name}: {a:?} and {b:?}");
                }
            }
        }
    }

    /// The colour that xterm has at a place of its cube or its greys.
    fn shown(colour: Color) -> Color {
        let step = |n: u8| if n == 0 { 0 } else { 55 + 40 * n };
        match indexed(colour) {
            Color::Indexed(n @ 232..) => {
                Color::Rgb(8 + 10 * (n - 232), 8 + 10 * (n - 232), 8 + 10 * (n - 232))
            }
            Color::Indexed(n @ 16..) => {
                let n = n - 16;
                Color::Rgb(step(n / 36), step(n / 6 % 6), step(n % 6))
            }
            other => other,
        }
    }

    #[test]
    fn with_256_colours_it_can_still_be_read() {
        for (name, _) in BUILT_IN {
            let theme = Theme::load(name, None).unwrap();
            for (who, contrast, screen) in pairs(&theme, shown) {
                let wanted =
                    if screen { wanted(name).min(6.5) } else { wanted(name).min(5.0) - 1.5 };
                assert!(contrast >= wanted, "{name}: {who} has a contrast of {contrast:.2}");
            }
            let limited = theme.at(Depth::Indexed);
            let rgb = |colour: Option<Color>| matches!(colour, Some(Color::Rgb(..)));
            assert!(limited.styles.iter().all(|style| !rgb(style.fg) && !rgb(style.bg)), "{name}");
        }
        assert_eq!(indexed(Color::Rgb(255, 0, 0)), Color::Indexed(196));
        assert_eq!(indexed(Color::Rgb(9, 9, 9)), Color::Indexed(232));
        assert_eq!(indexed(Color::Cyan), Color::Cyan);
    }

    #[test]
    fn with_sixteen_colours_it_is_the_terminals_own() {
        let terminal = Theme::load("terminal", None).unwrap();
        for (name, _) in BUILT_IN {
            let theme = Theme::load(name, None).unwrap().at(Depth::Sixteen);
            assert_eq!((theme.styles, theme.name.as_str()), (terminal.styles, name));
        }
    }

    /// How a colour looks to somebody without red or green cones: Machado, Oliveira and Fernandes
    /// 2009, severity 1; as CIE Lab (D65).
    #[expect(clippy::many_single_char_names, reason = "as the formulas are written")]
    fn seen(colour: Color, matrix: [[f64; 3]; 3]) -> [f64; 3] {
        let Color::Rgb(r, g, b) = colour else { panic!("{colour} is no RGB colour") };
        let [r, g, b] = [r, g, b].map(|c| {
            let c = f64::from(c) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        });
        let [r, g, b] = matrix.map(|row| (row[0] * r + row[1] * g + row[2] * b).clamp(0.0, 1.0));
        let bend = |t: f64| if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
        let x = bend((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.950_47);
        let y = bend(0.2126 * r + 0.7152 * g + 0.0722 * b);
        let z = bend((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.088_83);
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    #[test]
    fn the_clear_themes_tell_states_apart_for_colour_blind_users() {
        const EYES: [(&str, [[f64; 3]; 3]); 3] = [
            ("all cones", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
            (
                "no green cones",
                [
                    [0.367_322, 0.860_646, -0.227_968],
                    [0.280_085, 0.672_501, 0.047_413],
                    [-0.011_820, 0.042_940, 0.968_881],
                ],
            ),
            (
                "no red cones",
                [
                    [0.152_286, 1.052_583, -0.204_868],
                    [0.114_503, 0.786_281, 0.099_216],
                    [-0.003_882, -0.048_116, 1.051_998],
                ],
            ),
        ];
        let nearest = |name: &str, matrix| {
            let theme = Theme::load(name, None).unwrap();
            let seen: Vec<[f64; 3]> =
                HEALTH.iter().map(|role| seen(theme.style(*role).fg.unwrap(), matrix)).collect();
            let mut nearest = f64::INFINITY;
            for (i, a) in seen.iter().enumerate() {
                for b in &seen[i + 1..] {
                    let apart: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
                    nearest = nearest.min(apart.sqrt());
                }
            }
            nearest
        };
        for (eyes, matrix) in EYES {
            for name in ["clear", "clear-day"] {
                let apart = nearest(name, matrix);
                assert!(apart >= 20.0, "{name}, {eyes}: two states are {apart:.1} apart");
            }
        }
        // The measure means something: an ordinary theme fails it.
        assert!(nearest("night", EYES[1].1) < 20.0);
    }

    #[test]
    fn own_themes_are_listed_behind_the_built_in_ones() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["mine.toml", "night.toml", "no theme.toml", "notes.txt", "a.toml"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let names = names(Some(dir.path()));
        assert_eq!(names[BUILT_IN.len()..], ["a", "mine"]);
        assert_eq!(super::names(Some(Path::new("/nowhere"))).len(), BUILT_IN.len());
    }

    #[test]
    fn an_unknown_theme_names_the_known_ones() {
        let error = Theme::load("nigth", None).unwrap_err();
        assert_eq!(error.to_string(), "there is no theme \"nigth\"");
        assert!(error.next_step().unwrap().contains("night, day, dusk, ocean, paper, clear, "));
        assert!(Theme::load("../../etc/passwd", Some(Path::new("/"))).is_err());
    }

    #[test]
    fn a_malformed_file_says_where() {
        let dir = tempfile::tempdir().unwrap();
        let text = BUILT_IN[0].1;
        for (broken, wanted) in [
            (text.replace("ok          = { fg = \"#8fcf8f\" }", ""), "role \"ok\" is missing"),
            (
                text.replace("#8fcf8f", "greenish"),
                "own.toml:14:15\" is malformed: role \"ok\": \"greenish\" is no colour",
            ),
            (text.replace("[roles]", "[roles"), "own.toml:4:"),
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
