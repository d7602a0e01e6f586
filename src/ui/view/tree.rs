//! The tree: groups, and hosts under them. Only the lines on the screen are built.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use super::header::last_age;
use super::layout::Areas;
use super::pen::{Pen, number};
use super::table;
use crate::model::inventory::{Counts, Line};
use crate::model::row::Health;
use crate::ui::app::columns::{Fit, GAP, indent};
use crate::ui::app::{Link, Model};
use crate::ui::theme::{Role, Theme};

/// The role and the sign of a health.
pub(super) fn sign(health: Health) -> (Role, &'static str) {
    match health {
        Health::Ok => (Role::Ok, "●"),
        Health::Maintenance => (Role::Maintenance, "◆"),
        Health::Stopped => (Role::Stopped, "○"),
        Health::Warning => (Role::Warning, "▲"),
        Health::Bad => (Role::Bad, "✖"),
        Health::Unknown => (Role::Unknown, "?"),
    }
}

pub(super) fn draw(model: &Model, theme: &Theme, areas: &Areas, buffer: &mut Buffer) {
    if areas.rows.is_empty() {
        return;
    }
    let fit = model.columns().fit(areas.rows.width);
    let depth = model.inventory.grouping().len();
    table::titles(model, theme, &fit, depth, areas.titles, buffer);
    let Some(top) = &model.top else {
        empty(model, theme, areas.rows, buffer);
        return;
    };
    let lines = model.inventory.window(&model.folds, top, usize::from(areas.rows.height));
    let digits = digits(model, &lines);
    for (y, line) in (0_u16..).zip(&lines) {
        let area = Rect { y: areas.rows.y + y, height: 1, ..areas.rows };
        let selected = table::selection(model, theme, model.cursor.as_ref() == Some(&line.key()));
        match line {
            Line::Group { .. } => group(model, theme, &fit, area, selected, (line, digits), buffer),
            Line::Host { row, depth } => {
                table::host(model, theme, &fit, area, selected, (row, *depth), buffer);
            }
        }
    }
}

/// How many hosts a group has, or how many of them match.
fn count(model: &Model, counts: &Counts) -> String {
    let n = |count: u32| number(count as usize);
    if model.inventory.is_filtered() {
        format!("{} of {}", n(counts.matched), n(counts.total))
    } else {
        n(counts.total)
    }
}

/// Columns for the number of hosts, so that the numbers stand one under the other.
fn digits(model: &Model, lines: &[Line<'_>]) -> usize {
    // The fleet has the longest number of all: nothing moves while one scrolls.
    let fleet = number(model.inventory.len()).len();
    let widths = lines.iter().map(|line| match line {
        Line::Group { counts, .. } => count(model, counts).len(),
        Line::Host { .. } => 0,
    });
    widths.max().unwrap_or(0).max(fleet)
}

/// What is said when there is nothing to show.
pub(super) fn empty(model: &Model, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let lines: &[&str] = match (model.servers.link(), model.inventory.is_empty()) {
        (Link::Connecting, _) => &["connecting…"],
        (Link::Listing, true) => &["loading…"],
        (Link::Lost { .. } | Link::Same(_), true) if model.servers.several() => {
            &["no server is in reach; trying again", "{key:view-servers} shows what is in the way"]
        }
        (Link::Lost { .. } | Link::Same(_), true) => &["the server is out of reach; trying again"],
        (Link::Live, true) => &[
            "no hosts yet",
            "inv-tui --headless fetch   brings them from a provider",
            "inv-tui --demo             shows a made-up fleet",
        ],
        (_, false) => &[
            "nothing matches the filter",
            "{key:back} clears it, {key:everything} shows everything",
        ],
    };
    for (i, line) in (0_u16..).zip(lines) {
        Pen::new(buffer, area, 1 + i).skip(2).put(
            &model.settings.keymap.fill(line),
            theme.style(if i == 0 { Role::Text } else { Role::Muted }),
        );
    }
}

/// The line of a group: its name, how many hosts it has, a bar, and how they do.
fn group(
    model: &Model,
    theme: &Theme,
    fit: &Fit,
    area: Rect,
    selected: Option<Style>,
    (line, digits): (&Line<'_>, usize),
    buffer: &mut Buffer,
) {
    let Line::Group { name, counts, open, .. } = line else { return };
    let base = selected.unwrap_or_default();
    let muted = theme.style(Role::Muted);
    let mut pen = Pen::new(buffer, area, 0);
    let indent = indent(line);
    pen.fill(base)
        .skip(u16::try_from(indent - 2).unwrap_or(0))
        .put(if *open { "▾" } else { "▸" }, muted)
        .put(" ", base);
    let style = theme.style(if line.depth() == 0 { Role::Title } else { Role::Text });
    pen.cell(name, fit.name.saturating_sub(indent), style).skip(u16::try_from(GAP).unwrap_or(0));
    let text = format!("{:>digits$}", count(model, counts));
    if pen.left() >= text.width() {
        pen.put(&text, theme.style(Role::Text));
    }
    let word = if counts.total == 1 { " host " } else { " hosts" };
    // A word that is cut looks like another one.
    if pen.left() >= word.len() {
        pen.put(word, muted);
    }
    let server = model.server_of_line(line).map(|id| model.servers.get(id));
    if let Some(age) = server.and_then(|server| last_age(model, server)) {
        let text = format!(" as of {age} ago");
        if line.depth() == 0 && pen.left() >= text.width() {
            pen.put(&text, theme.style(Role::Warning));
        }
    }
    let filtered = model.inventory.is_filtered();
    let of = |health| if filtered { counts.matched_with(health) } else { counts.with(health) };
    let parts: Vec<(Health, String)> = Health::ALL
        .into_iter()
        .filter(|health| of(*health) > 0)
        .map(|health| (health, format!(" {} {}", sign(health).1, number(of(health) as usize))))
        .collect();
    let tight: usize = parts.iter().map(|(_, text)| text.width()).sum();
    let short = tight + parts.len();
    let bar_width = match area.width {
        0..60 => 0,
        60..140 => 8,
        _ => 16,
    };
    if pen.left() >= tight + bar_width + 2 && bar_width > 0 {
        pen.skip(2);
        for health in bar(Health::ALL.map(of), bar_width) {
            // What needs nobody is a line; the rest is told by its sign, without colours too.
            let (role, sign) = sign(health);
            pen.put(if health == Health::Ok { "━" } else { sign }, theme.style(role));
        }
    }
    let long: usize = parts.iter().map(|(health, _)| 1 + health.as_str().len()).sum();
    // Words that end at the edge of the screen look cut.
    let (words, roomy) = (short + long < pen.left(), short <= pen.left());
    for (health, text) in &parts {
        let style = theme.style(sign(*health).0);
        if roomy {
            pen.put(" ", style);
        }
        // A number that is cut is a wrong number: what does not fit is left out.
        if pen.left() < text.width() {
            break;
        }
        pen.put(text, style);
        if words {
            pen.put(" ", style).put(health.as_str(), style);
        }
    }
    if selected.is_some() {
        buffer.set_style(area, base);
    }
}

/// Shares of so many cells, in the order of [`Health::ALL`]: what is there at all has one at least,
/// as long as there are cells.
fn bar(counts: [u32; Health::COUNT], width: usize) -> Vec<Health> {
    let total: u64 = counts.iter().map(|count| u64::from(*count)).sum();
    if total == 0 {
        return Vec::new();
    }
    let cells = width as u64;
    let mut shares = counts.map(|count| {
        let share = u64::from(count) * cells / total;
        if count > 0 { share.max(1) } else { 0 }
    });
    // What was rounded goes to the greatest share, which shows it least.
    while let Some(at) = (0..shares.len()).max_by_key(|at| shares.get(*at).copied()) {
        let sum: u64 = shares.iter().sum();
        let Some(share) = shares.get_mut(at) else { break };
        match sum.cmp(&cells) {
            std::cmp::Ordering::Less => *share += cells - sum,
            std::cmp::Ordering::Greater => *share -= 1,
            std::cmp::Ordering::Equal => break,
        }
    }
    let all = Health::ALL.into_iter().zip(shares);
    all.flat_map(|(health, share)| std::iter::repeat_n(health, usize::try_from(share).unwrap_or(0)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_full_and_leaves_nothing_out() {
        let drawn = |counts, width| {
            bar(counts, width).into_iter().map(|health| sign(health).1).collect::<String>()
        };
        assert_eq!(drawn([100, 0, 0, 0, 0, 0], 8), "●●●●●●●●");
        assert_eq!(drawn([99_999, 0, 0, 0, 1, 0], 8), "●●●●●●●✖");
        assert_eq!(drawn([4, 4, 0, 0, 0, 0], 8), "●●●●◆◆◆◆");
        assert_eq!(drawn([1, 1, 1, 1, 1, 1], 8), "●◆○▲✖???");
        assert_eq!(drawn([0, 0, 0, 0, 0, 3], 8), "????????");
        assert_eq!(drawn([1, 1, 1, 1, 1, 1], 4).chars().count(), 4);
        assert_eq!(drawn([0; 6], 8), "");
    }
}
