//! The dialog that chooses an Ansible run.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::pen::{Pen, number};
use crate::ui::app::RunDialog;
use crate::ui::app::run_dialog::Part;
use crate::ui::theme::{Role, Theme};

/// Lines that it would like to have.
pub(super) fn height(dialog: &RunDialog) -> u16 {
    let tags = dialog.playbooks.iter().map(|playbook| playbook.tags.len()).max().unwrap_or(0);
    let lines = dialog.playbooks.len().max(tags + 1).clamp(1, 10) + 2;
    u16::try_from(lines).unwrap_or(12)
}

pub(super) fn draw(dialog: &RunDialog, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let base = theme.style(Role::Strip);
    let style = |role: Role| base.patch(theme.style(role));
    buffer.set_style(area, base);
    if area.is_empty() {
        return;
    }
    let hosts = dialog.targets.hosts.len();
    let word = if hosts == 1 { "host" } else { "hosts" };
    let mut pen = Pen::new(buffer, area, 0);
    pen.put(" run", style(Role::Title)).put(&format!(" on {} {word}", number(hosts)), base);
    if dialog.known.is_none() {
        pen.put("  reading what the server knows of them…", style(Role::Muted));
    }
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(2), ..area };
    let left = Rect { width: body.width * 3 / 5, ..body };
    let right = Rect { x: left.right(), width: body.width - left.width, ..body };
    let skip = (dialog.chosen + 1).saturating_sub(usize::from(body.height));
    for (y, (number, playbook)) in
        (0..body.height).zip(dialog.playbooks.iter().enumerate().skip(skip))
    {
        let chosen = number == dialog.chosen;
        let mut pen = Pen::new(buffer, left, y);
        pen.put(if chosen { " (x) " } else { " ( ) " }, style(Role::Key));
        pen.put(&playbook.path, base);
        if let Some(text) = &playbook.description {
            pen.put("  ", base).put(text, style(Role::Muted));
        }
        if chosen && dialog.part == Part::Playbooks {
            buffer.set_style(
                Rect { y: left.y + y, height: 1, ..left },
                theme.style(Role::Selected),
            );
        }
    }
    let only = dialog.playbook().is_some_and(|playbook| playbook.check_only);
    let check = if only { "check mode (always)" } else { "check mode" };
    let tags = dialog.playbook().map_or(&[][..], |playbook| &playbook.tags);
    let options = std::iter::once((check, dialog.check))
        .chain(tags.iter().map(|tag| (tag.as_str(), dialog.tags.contains(tag))));
    let skip = (dialog.option + 1).saturating_sub(usize::from(body.height));
    for (y, (number, (text, on))) in (0..body.height).zip(options.enumerate().skip(skip)) {
        let mut pen = Pen::new(buffer, right, y);
        pen.put(if on { " [x] " } else { " [ ] " }, style(Role::Key)).put(text, base);
        if number == dialog.option && dialog.part == Part::Options {
            buffer.set_style(
                Rect { y: right.y + y, height: 1, ..right },
                theme.style(Role::Selected),
            );
        }
    }
    let mut pen = Pen::new(buffer, area, area.height.saturating_sub(1));
    pen.fill(base);
    for (key, what) in
        [(" enter", " go on  "), ("tab", " tags  "), ("space", " choose  "), ("c", " check mode  "), ("esc", " cancel")]
    {
        pen.put(key, style(Role::Key)).put(what, base);
    }
}
