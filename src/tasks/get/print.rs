//! Hosts as text: as they come where the form allows it, else at the end.

use std::io::Write;

use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use super::{Chosen, Form, GetArgs, Query, unwritten};
use crate::error::{Error, Result};
use crate::model::column::{Column, Subject, csv_cell, table_cell};
use k8s_openapi::jiff::Timestamp;

/// Columns between two columns, and the least width of one: as kubectl has them.
const GAP: usize = 3;
const LEAST: usize = 6;

/// Prints hosts one after the other.
pub(super) struct Printer<'a> {
    args: &'a GetArgs,
    columns: Vec<Column>,
    now: Timestamp,
    /// One host was named: it stands by itself and in no list.
    single: bool,
    count: usize,
    lines: Vec<Vec<String>>,
    objects: Vec<Value>,
}

impl<'a> Printer<'a> {
    pub(super) fn new(args: &'a GetArgs, query: &Query, single: bool) -> Self {
        Self {
            args,
            columns: query.columns.clone(),
            now: query.now,
            single,
            count: 0,
            lines: Vec::new(),
            objects: Vec::new(),
        }
    }

    /// Takes in a host.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn host(&mut self, host: Chosen, out: &mut impl Write) -> Result<()> {
        self.count += 1;
        match &self.args.output {
            Form::Name => writeln!(out, "{}", host.row.name()).map_err(unwritten)?,
            Form::Table | Form::Wide | Form::Custom(_) => {
                self.lines.push(cells(&self.columns, &self.args.output, &host, self.now));
            }
            Form::Csv => {
                if self.count == 1 {
                    csv_titles(self.args, &self.columns, &[], out)?;
                }
                csv_line(&cells(&self.columns, &Form::Csv, &host, self.now), out)?;
            }
            Form::JsonPath(_) => self.objects.push(host.object),
            Form::Json | Form::Yaml if self.single => self.objects.push(host.object),
            Form::Json => {
                let begin = if self.count == 1 {
                    "{\n    \"apiVersion\": \"v1\",\n    \"items\": [\n"
                } else {
                    ",\n"
                };
                write!(out, "{begin}{}", indented(&pretty(&host.object)?, "        ", "        "))
                    .map_err(unwritten)?;
            }
            Form::Yaml => {
                let begin = if self.count == 1 { "apiVersion: v1\nitems:\n" } else { "" };
                let text = yaml(&host.object)?;
                writeln!(out, "{begin}{}", indented(text.trim_end(), "- ", "  "))
                    .map_err(unwritten)?;
            }
        }
        Ok(())
    }

    /// Prints what is left. Returns how many hosts there were.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn end(self, out: &mut impl Write) -> Result<usize> {
        let alone = self.single && self.objects.len() == 1;
        match &self.args.output {
            Form::Table | Form::Wide | Form::Custom(_) if self.count > 0 => {
                let titles = titles(self.args, &self.columns, &[]);
                let widths = widths(titles.as_ref(), &self.lines);
                for line in titles.iter().chain(&self.lines) {
                    table_line(line, &widths, out)?;
                }
            }
            Form::Csv if self.count == 0 => csv_titles(self.args, &self.columns, &[], out)?,
            Form::Name | Form::Table | Form::Wide | Form::Custom(_) | Form::Csv => {}
            Form::JsonPath(template) => {
                let text = match self.objects.first() {
                    Some(object) if alone => template.render(object),
                    _ => template.render(&list(self.objects)),
                };
                write!(out, "{text}").map_err(unwritten)?;
            }
            Form::Json if self.count > 0 && !self.single => {
                write!(out, "\n    ],\n    \"kind\": \"List\",\n    \"metadata\": {{\n        \"resourceVersion\": \"\"\n    }}\n}}\n")
                    .map_err(unwritten)?;
            }
            Form::Yaml if self.count > 0 && !self.single => {
                write!(out, "kind: List\nmetadata:\n  resourceVersion: \"\"\n")
                    .map_err(unwritten)?;
            }
            Form::Json | Form::Yaml => {
                let is_json = self.args.output == Form::Json;
                let whole = match self.objects.first() {
                    Some(object) if alone => object.clone(),
                    _ => list(self.objects),
                };
                let text = if is_json { pretty(&whole)? } else { yaml(&whole)? };
                writeln!(out, "{}", text.trim_end()).map_err(unwritten)?;
            }
        }
        Ok(self.count)
    }
}

fn list(objects: Vec<Value>) -> Value {
    let mut list = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}});
    if let Some(list) = list.as_object_mut() {
        list.insert("items".to_owned(), Value::Array(objects));
    }
    list
}

/// The cells of a host: as they stand for programs, harmless for people.
pub(super) fn cells(columns: &[Column], form: &Form, host: &Chosen, now: Timestamp) -> Vec<String> {
    let Chosen { row, object, server } = host;
    let subject = Subject { server, row, object, now };
    let each = columns.iter().map(|column| column.text(subject));
    match form {
        Form::Csv => each.collect(),
        Form::Custom(_) => each.map(|text| table_cell(&text, "<none>")).collect(),
        _ => each.map(|text| table_cell(&text, "-")).collect(),
    }
}

/// The titles, unless they are not wanted, behind those of other columns.
pub(super) fn titles(args: &GetArgs, columns: &[Column], before: &[&str]) -> Option<Vec<String>> {
    let before = before.iter().map(|title| (*title).to_owned());
    let own = columns.iter().map(|column| table_cell(column.title(), ""));
    (!args.no_headers).then(|| before.chain(own).collect())
}

/// Widths of columns for these lines.
pub(super) fn widths(titles: Option<&Vec<String>>, lines: &[Vec<String>]) -> Vec<usize> {
    let mut widths = Vec::new();
    for line in titles.into_iter().chain(lines) {
        widths.resize(widths.len().max(line.len()), 0);
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.width());
        }
    }
    for width in &mut widths {
        *width = (*width + GAP).max(LEAST);
    }
    widths
}

/// Prints a line of a table.
pub(super) fn table_line(cells: &[String], widths: &[usize], out: &mut impl Write) -> Result<()> {
    let mut line = String::new();
    let last = cells.len().saturating_sub(1);
    for (number, (cell, width)) in cells.iter().zip(widths).enumerate() {
        line.push_str(cell);
        if number < last {
            let room = width.saturating_sub(cell.width()).max(1);
            line.extend(std::iter::repeat_n(' ', room));
        }
    }
    writeln!(out, "{line}").map_err(unwritten)
}

/// Prints the titles of comma-separated values.
pub(super) fn csv_titles(
    args: &GetArgs,
    columns: &[Column],
    before: &[&str],
    out: &mut impl Write,
) -> Result<()> {
    titles(args, columns, before).map_or(Ok(()), |titles| csv_line(&titles, out))
}

/// Prints a line of comma-separated values.
pub(super) fn csv_line(cells: &[String], out: &mut impl Write) -> Result<()> {
    let cells: Vec<String> = cells.iter().map(|cell| csv_cell(cell)).collect();
    write!(out, "{}\r\n", cells.join(",")).map_err(unwritten)
}

fn pretty(value: &Value) -> Result<String> {
    let mut text = Vec::new();
    let form = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, form);
    serde::Serialize::serialize(value, &mut serializer)
        .map_err(|cause| Error::new("cannot print a host as JSON").because(cause))?;
    String::from_utf8(text)
        .map_err(|cause| Error::new("cannot print a host as JSON").because(cause))
}

/// An object as YAML.
pub(super) fn yaml(value: &Value) -> Result<String> {
    serde_saphyr::to_string(value)
        .map_err(|cause| Error::new("cannot print a host as YAML").because(cause.to_string()))
}

/// Every line with something before it, the first with something else.
fn indented(text: &str, first: &str, other: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for (number, line) in text.lines().enumerate() {
        if number == 0 {
            out.push_str(first);
        } else {
            out.push('\n');
            // A line without anything stays so: it is part of a text.
            out.push_str(if line.is_empty() { "" } else { other });
        }
        out.push_str(line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_yaml_is_what_its_items_are() {
        let hostile = json!({"a": ["yes", "012", "1e3", "- x", "a: b", "#", "", " x ", "null", "é\n\nline\n", "{{ x }}", "\u{1b}"],
            "nested": {"list": [{"k": 1}, []], "empty": {}}, "~": 1.5});
        let text =
            format!("items:\n{}\n", indented(yaml(&hostile).unwrap().trim_end(), "- ", "  "));
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read["items"][0], hostile, "{text}");
    }

    #[test]
    fn columns_stand_as_kubectl_puts_them() {
        let lines = vec![
            vec!["a".to_owned(), "日本".to_owned(), "x".to_owned()],
            vec!["long-name".to_owned(), "b".to_owned(), String::new()],
        ];
        let widths = widths(None, &lines);
        assert_eq!(widths, [12, 7, 6]);
        let mut out = Vec::new();
        for line in &lines {
            table_line(line, &widths, &mut out).unwrap();
        }
        assert_eq!(String::from_utf8(out).unwrap(), "a           日本   x\nlong-name   b      \n");
    }
}
