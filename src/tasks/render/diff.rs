//! What would change in a file, line by line, as `diff -u` shows it (Myers, 1986).

use std::fmt::Write as _;

use crate::model::text;

/// Lines around a change that are shown with it.
const AROUND: usize = 3;
/// Changed lines up to which the shortest way is looked for; beyond it all that differs is shown as gone
/// and come.
const MOST: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Same,
    Gone,
    Come,
}

/// The hunks of a unified diff, without control characters; empty if the texts are the same.
pub(super) fn diff(old: &str, new: &str) -> String {
    if old == new {
        return String::new();
    }
    let (old, new): (Vec<&str>, Vec<&str>) =
        (old.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
    let begin = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (a, b) = (old.get(begin..).unwrap_or_default(), new.get(begin..).unwrap_or_default());
    let end = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
    let a = a.get(..a.len() - end).unwrap_or_default();
    let b = b.get(..b.len() - end).unwrap_or_default();
    let mut steps = vec![Step::Same; begin];
    steps.extend(shortest(a, b).unwrap_or_else(|| {
        let gone = a.iter().map(|_| Step::Gone);
        gone.chain(b.iter().map(|_| Step::Come)).collect()
    }));
    steps.extend(std::iter::repeat_n(Step::Same, end));
    print(&steps, &old, &new)
}

/// The shortest way from one text to the other; none if it is too long.
fn shortest(a: &[&str], b: &[&str]) -> Option<Vec<Step>> {
    let most = (a.len() + b.len()).min(MOST);
    // How far one gets in `a` on each diagonal; the diagonal k is at k + most + 1.
    let mut far = vec![0_usize; 2 * most + 3];
    let middle = most + 1;
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    for round in 0..=most {
        rounds.push(far.clone());
        for slot in (middle - round..=middle + round).step_by(2) {
            let (below, above) = (*far.get(slot - 1)?, *far.get(slot + 1)?);
            let comes = slot == middle - round || (slot != middle + round && below < above);
            let mut x = if comes { above } else { below + 1 };
            // y = x - k
            let mut y = (x + middle).checked_sub(slot)?;
            while x < a.len() && y < b.len() && a.get(x) == b.get(y) {
                (x, y) = (x + 1, y + 1);
            }
            *far.get_mut(slot)? = x;
            if x >= a.len() && y >= b.len() {
                return back(&rounds, middle, (a.len(), b.len()));
            }
        }
    }
    None
}

/// The way back through the rounds, turned around.
fn back(rounds: &[Vec<usize>], middle: usize, (mut x, mut y): (usize, usize)) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for (round, far) in rounds.iter().enumerate().rev() {
        let slot = (x + middle).checked_sub(y)?;
        let (below, above) = (*far.get(slot - 1)?, *far.get(slot + 1)?);
        let comes = slot == middle - round || (slot != middle + round && below < above);
        let from = if comes { slot + 1 } else { slot - 1 };
        let before_x = *far.get(from)?;
        let before_y = (before_x + middle).saturating_sub(from);
        let (stop_x, stop_y) = if round == 0 { (0, 0) } else { (before_x, before_y) };
        while x > stop_x && y > stop_y {
            steps.push(Step::Same);
            (x, y) = (x - 1, y - 1);
        }
        if round > 0 {
            steps.push(if comes { Step::Come } else { Step::Gone });
            (x, y) = (before_x, before_y);
        }
    }
    steps.reverse();
    Some(steps)
}

/// First and last line of each hunk, as numbers of steps.
fn hunks(steps: &[Step]) -> Vec<(usize, usize)> {
    let mut hunks: Vec<(usize, usize)> = Vec::new();
    for (at, _) in steps.iter().enumerate().filter(|(_, step)| **step != Step::Same) {
        match hunks.last_mut() {
            Some((_, last)) if at - *last <= 2 * AROUND => *last = at,
            _ => hunks.push((at, at)),
        }
    }
    hunks
}

fn print(steps: &[Step], old: &[&str], new: &[&str]) -> String {
    let mut text = String::new();
    // Lines of either text before the step.
    let (mut a, mut b, mut at) = (0, 0, 0);
    for (first, last) in hunks(steps) {
        let begin = first.saturating_sub(AROUND);
        (a, b, at) = (a + begin - at, b + begin - at, begin);
        let end = steps.len().min(last + AROUND + 1);
        let hunk = steps.get(at..end).unwrap_or_default();
        let count = |not: Step| hunk.iter().filter(|step| **step != not).count();
        let (gone, come) = (count(Step::Come), count(Step::Gone));
        let line = |before: usize, count: usize| before + usize::from(count > 0);
        let _ = writeln!(text, "@@ -{},{gone} +{},{come} @@", line(a, gone), line(b, come));
        for step in hunk {
            let (mark, line) = match step {
                Step::Same => (' ', old.get(a)),
                Step::Gone => ('-', old.get(a)),
                Step::Come => ('+', new.get(b)),
            };
            a += usize::from(*step != Step::Come);
            b += usize::from(*step != Step::Gone);
            let line = line.copied().unwrap_or_default();
            let whole = line.strip_suffix('\n');
            let _ = writeln!(text, "{mark}{}", text::clean(whole.unwrap_or(line)));
            if whole.is_none() {
                text.push_str("\\ No newline at end of file\n");
            }
        }
        at = end;
    }
    text.pop();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_shown_with_what_is_around_it() {
        let old = (1..=20).map(|n| format!("line {n}\n")).collect::<Vec<_>>().concat();
        let new = old.replace("line 5\n", "line five\n").replace("line 18\n", "");
        let wanted = "@@ -2,7 +2,7 @@\n line 2\n line 3\n line 4\n-line 5\n+line five\n line 6\n line 7\n line 8\n\
            @@ -15,6 +15,5 @@\n line 15\n line 16\n line 17\n-line 18\n line 19\n line 20";
        assert_eq!(diff(&old, &new), wanted);
        assert_eq!(diff("a\n", "a\n"), "");
        assert_eq!(diff("", "a\nb"), "@@ -0,0 +1,2 @@\n+a\n+b\n\\ No newline at end of file");
        assert_eq!(diff("a\u{1b}[2J\n", ""), "@@ -1,1 +0,0 @@\n-a\u{FFFD}[2J");
    }

    /// What the steps make of the old text.
    fn applied<'a>(steps: &[Step], old: &[&'a str], new: &[&'a str]) -> Vec<&'a str> {
        let (mut a, mut b, mut out) = (0, 0, Vec::new());
        for step in steps {
            match step {
                Step::Same => out.push(old[a]),
                Step::Come => out.push(new[b]),
                Step::Gone => {}
            }
            a += usize::from(*step != Step::Come);
            b += usize::from(*step != Step::Gone);
        }
        assert_eq!((a, b), (old.len(), new.len()));
        out
    }

    #[test]
    fn the_steps_lead_from_any_text_to_any_other() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..500 {
            let mut text = |most| -> Vec<&str> {
                (0..random.usize(0..most))
                    .map(|_| *random.choice(&["a", "b", "c"]).unwrap())
                    .collect()
            };
            let (old, new) = (text(12), text(12));
            let steps = shortest(&old, &new).unwrap();
            assert_eq!(applied(&steps, &old, &new), new, "{old:?}");
            let same = steps.iter().filter(|step| **step == Step::Same).count();
            assert!(same >= usize::from(old.iter().any(|line| new.contains(line))));
        }
        let many = vec!["x"; MOST];
        assert_eq!(shortest(&many, &["y"]), None, "it is not looked for for ever");
    }
}
