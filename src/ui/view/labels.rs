//! The dialog for labels: the labels of the hosts, and the line that is typed.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use unicode_width::UnicodeWidthStr;

use super::pen::{Pen, number};
use crate::model::change::label_word;
use crate::ui::app::LabelDialog;
use crate::ui::app::labels::LabelLine;
use crate::ui::theme::{Role, Theme};

/// Lines that it would like to have.
pub(super) fn height(dialog: &LabelDialog) -> u16 {
    u16::try_from(dialog.lines.len().clamp(1, 10) + 3).unwrap_or(13)
}

pub(super) fn draw(
    dialog: &LabelDialog,
    theme: &Theme,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let base = theme.style(Role::Strip);
    let style = |role: Role| base.patch(theme.style(role));
    buffer.set_style(area, base);
    if area.is_empty() {
        return None;
    }
    let hosts = dialog.targets.hosts.len();
    let word = if hosts == 1 { "host" } else { "hosts" };
    let mut pen = Pen::new(buffer, area, 0);
    pen.put(" labels", style(Role::Title)).put(&format!(" of {} {word}", number(hosts)), base);
    if let Some(whole) = &dialog.targets.whole {
        pen.put(&format!("  all of {whole} that match"), style(Role::Muted));
    }
    if dialog.owners.is_none() {
        pen.put("  reading who owns them…", style(Role::Muted));
    }
    // On a small screen the line that is typed comes before the labels.
    let typing = u16::from(dialog.input.is_some() && area.height >= 3);
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(2 + typing), ..area };
    let key_width = usize::from(area.width / 2).saturating_sub(2).max(8);
    let widest = dialog.lines.iter().map(|line| values(line, hosts).width()).max().unwrap_or(0);
    // On a small screen there is no room for a column of owners.
    let value_width = if area.width >= 60 { widest.min(usize::from(area.width / 4)) } else { 0 };
    let skip = (dialog.chosen + 1).saturating_sub(usize::from(body.height));
    for (y, (at, line)) in (0..body.height).zip(dialog.lines.iter().enumerate().skip(skip)) {
        let key = style(if line.owner.is_some() { Role::Muted } else { Role::Key });
        let mut pen = Pen::new(buffer, body, y);
        pen.put(" ", base).cell(&line.key, key_width, key).put(" ", base);
        let value = values(line, hosts);
        pen.put(&value, base);
        if let Some(owner) = &line.owner {
            pen.skip(u16::try_from(value_width.saturating_sub(value.width())).unwrap_or(0));
            pen.put("  of ", style(Role::Muted)).put(owner, style(Role::Muted));
        }
        if at == dialog.chosen && dialog.input.is_none() {
            buffer
                .set_style(Rect { y: body.y + y, height: 1, ..body }, theme.style(Role::Selected));
        }
    }
    if dialog.lines.is_empty() {
        Pen::new(buffer, body, 0).put(" no label yet: a adds one", style(Role::Muted));
    }
    let keys = area.height.saturating_sub(1);
    let mut cursor = None;
    if let Some(input) = dialog.input.as_ref().filter(|_| typing > 0) {
        let line = Rect { y: area.y + keys - 1, height: 1, ..area };
        let mut pen = Pen::new(buffer, line, 0);
        if let Some(problem) = &dialog.problem {
            pen.right(&format!(" ! {problem} "), style(Role::Bad));
        }
        let (before, after) = input.halves();
        let field = theme.style(Role::Input);
        pen.put(" label ", style(Role::Muted)).put(before, field);
        cursor = Some(Position { x: pen.column().min(area.right().saturating_sub(1)), y: line.y });
        pen.put(after, field);
    }
    let mut pen = Pen::new(buffer, area, keys);
    pen.fill(base);
    if let Some(problem) = &dialog.problem {
        pen.put(" ! ", style(Role::Bad)).put(problem, style(Role::Bad));
        return cursor;
    }
    let hints: &[(&str, &str)] = if dialog.input.is_some() {
        &[
            (" enter", " go on  "),
            ("key=value", " sets  "),
            ("key-", " removes  "),
            ("esc", " back"),
        ]
    } else {
        &[(" e", " edit  "), ("a", " add  "), ("d", " remove  "), ("esc", " cancel")]
    };
    for (key, what) in hints {
        pen.put(key, style(Role::Key)).put(what, base);
    }
    cursor
}

/// The values of a label: the one that all have, or how many there are.
fn values(line: &LabelLine, hosts: usize) -> String {
    let having: usize = line.values.values().sum();
    let text = match line.values.iter().next() {
        Some((value, _)) if line.values.len() == 1 => label_word(Some(value)).to_owned(),
        _ => format!("{} values", number(line.values.len())),
    };
    if having == hosts { text } else { format!("{text} on {}", number(having)) }
}
