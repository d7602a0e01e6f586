//! Pages of lines in time: Events, history, explain, messages.

use jiff::Timestamp;

use super::{Line, Page, missing};
use crate::model::duration;
use crate::model::explain::Weight;
use crate::ui::actions::Action;
use crate::ui::app::Model;
use crate::ui::app::explain::explain;
use crate::ui::theme::Role;
use crate::ui::view::pen::wrap;

/// Columns of the age at the left.
const AGE: usize = 5;

fn age(model: &Model, at: Timestamp) -> String {
    duration::short(model.now.as_second() - at.as_second())
}

/// A line with its age at the left and some words before the text, which is broken to the width and
/// goes on below them.
fn entry(age: &str, words: &[(String, Role)], text: &str, role: Role, width: usize) -> Vec<Line> {
    let mut head: Line = vec![(format!("{age:<AGE$} "), Role::Muted)];
    head.extend(words.iter().cloned());
    let used: usize = head.iter().map(|(text, _)| text.chars().count()).sum();
    // Where too little is left beside the words the text has lines of its own.
    let beside = width.saturating_sub(used) >= width / 2;
    let indent = if beside { used } else { AGE + 1 };
    let parts = wrap(text, width.saturating_sub(indent).max(8));
    let blank = || vec![(" ".repeat(indent), Role::Muted)];
    let mut lines = Vec::new();
    for (number, part) in parts.into_iter().enumerate() {
        let mut line = if number > 0 {
            blank()
        } else if beside {
            std::mem::take(&mut head)
        } else {
            lines.push(std::mem::take(&mut head));
            blank()
        };
        line.push((part, role));
        lines.push(line);
    }
    lines
}

fn said(text: impl Into<String>, role: Role, width: usize) -> Vec<Line> {
    wrap(&text.into(), width).into_iter().map(|part| vec![(part, role)]).collect()
}

pub(super) fn events(model: &Model, page: &Page, width: usize) -> Vec<Line> {
    let events = match &page.events {
        Some(Ok(events)) => events,
        Some(Err(problem)) => return said(problem, Role::Warning, width),
        None if page.problem.is_some() || page.gone => return missing(page),
        None => return said("loading…", Role::Muted, width),
    };
    if events.is_empty() {
        return said("no events: the server forgets them after an hour", Role::Muted, width);
    }
    let mut lines = Vec::new();
    for told in events {
        let role = if told.warning { Role::Warning } else { Role::Text };
        let kind = if told.warning { "▲ " } else { "  " };
        let reason = format!("{:<18} ", told.reason);
        let words = [(kind.to_owned(), role), (reason, Role::Key)];
        let mut text = told.message.clone();
        if told.count > 1 {
            let since = told.first.map(|at| format!(" since {} ago", age(model, at)));
            text = format!("{text} ({} times{})", told.count, since.unwrap_or_default());
        }
        if !told.by.is_empty() {
            text = format!("{text} · {}", told.by);
        }
        lines.extend(entry(&age(model, told.at), &words, &text, role, width));
    }
    lines
}

pub(super) fn history(model: &Model, page: &Page, width: usize) -> Vec<Line> {
    if page.object.is_none() && !page.gone {
        return missing(page);
    }
    let mut lines = Vec::new();
    for past in crate::ui::app::history::history(model, page) {
        let role = if past.bad { Role::Warning } else { Role::Text };
        let words = [(format!("{:<10}", past.origin.as_str()), Role::Muted)];
        let who = if past.who.is_empty() { String::new() } else { format!(" · {}", past.who) };
        let text = format!("{}{who}", past.what);
        lines.extend(entry(&age(model, past.at), &words, &text, role, width));
    }
    if let Some(Err(problem)) = &page.events {
        lines.extend(said(format!("events: {problem}"), Role::Warning, width));
    }
    if let Some(problem) = &model.journal.problem {
        lines.extend(said(format!("journal: {problem}"), Role::Warning, width));
    }
    lines
}

pub(super) fn explained(model: &Model, page: &Page, width: usize) -> Vec<Line> {
    let Some(reasons) = explain(model, page) else {
        if page.object.is_some() {
            let key = model.settings.keymap.shown(Action::Yaml);
            let text = format!("the object is not as a Host should be: {key} shows it");
            return said(text, Role::Warning, width);
        }
        return missing(page);
    };
    if reasons.is_empty() {
        return said("● nothing is wrong with it, as far as is known", Role::Ok, width);
    }
    let mut lines: Vec<Line> = Vec::new();
    for (number, reason) in reasons.iter().enumerate() {
        let (role, sign) = match reason.weight {
            Weight::Broken => (Role::Bad, "✖"),
            Weight::Meant => (Role::Maintenance, "◆"),
            Weight::Note => (Role::Warning, "▲"),
        };
        if number > 0 {
            lines.push(Vec::new());
        }
        let since = reason.since.map(|at| {
            let seconds = model.now.as_second() - at.as_second();
            if seconds >= 0 {
                format!(" · for {}", duration::short(seconds))
            } else {
                format!(" · in {}", duration::short(-seconds))
            }
        });
        let text = format!("{}{}", reason.what, since.unwrap_or_default());
        for (part, text) in wrap(&text, width.saturating_sub(2).max(8)).into_iter().enumerate() {
            let sign = if part == 0 { format!("{sign} ") } else { "  ".to_owned() };
            lines.push(vec![(sign, role), (text, role)]);
        }
        let next = model.settings.keymap.fill(&reason.next);
        for (part, text) in wrap(&next, width.saturating_sub(4).max(8)).into_iter().enumerate() {
            let sign = if part == 0 { "  → " } else { "    " };
            lines.push(vec![(sign.to_owned(), Role::Key), (text, Role::Muted)]);
        }
    }
    lines
}

pub(super) fn messages(model: &Model, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for notice in model.messages.iter().rev() {
        let role = if notice.error { Role::Bad } else { Role::Text };
        let sign = if notice.error { "! " } else { "  " };
        let times =
            if notice.times > 1 { format!(" ({} times)", notice.times) } else { String::new() };
        let clock = notice.at.to_zoned(model.settings.time_zone.clone());
        let words =
            [(format!("{} ", clock.strftime("%H:%M:%S")), Role::Muted), (sign.to_owned(), role)];
        let text = format!("{}{times}", notice.text);
        lines.extend(entry(&age(model, notice.at), &words, &text, role, width));
    }
    if lines.is_empty() {
        return said("nothing was said yet", Role::Muted, width);
    }
    lines
}
