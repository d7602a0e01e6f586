//! The shape in which hosts are shown: from tree to table and back, another grouping, another
//! order. The cursor stays on its host through all of them.

use super::columns::DISPLAY;
use super::picker::{Picker, What};
use super::{Model, Overlay};
use crate::model::column::Column;
use crate::model::inventory::{Folds, List};
use crate::model::key::{NodeKey, Uid};
use crate::model::row::HostRow;
use crate::model::shape::{Form, Level, Shape, Sort};
use crate::ui::actions::Action;

/// Hosts that another grouping or order takes in before it looks at the keyboard again: a few
/// milliseconds.
const SHAPE_STEP: usize = 2_048;

/// Groupings of which it is remembered what was open.
const REMEMBERED: usize = 32;

/// What is open under the groupings that are not shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// The grouping that is shown.
    now: Vec<Level>,
    others: Vec<(Vec<Level>, Folds)>,
}

impl Memory {
    pub(super) fn new(levels: &[Level]) -> Self {
        Self { now: levels.to_vec(), others: Vec::new() }
    }
}

impl Model {
    /// How hosts are shown, or will be in a moment.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Whether another grouping or order is being made ([`Model::filter_step`]).
    pub fn shaping(&self) -> bool {
        self.inventory.shape_pending()
    }

    /// Whether the fleet is shown as a table.
    pub fn in_table(&self) -> bool {
        self.shape.form == Form::Table && self.inventory.has_table()
    }

    /// Shows hosts in another shape. What was shown stays until the new one is made.
    pub fn set_shape(&mut self, shape: Shape) {
        let turns = shape.form != self.shape.form;
        if turns {
            let host = self.some_host();
            self.views.table.cursor.clone_from(&host);
            if let (Some(uid), Form::Tree) = (host, shape.form) {
                let node = NodeKey::Host(uid);
                self.inventory.reveal(&mut self.folds, &node);
                self.cursor = Some(node);
            }
        }
        self.inventory.set_grouping(&shape.group);
        if shape.form == Form::Table {
            self.inventory.set_sort(shape.sort.as_ref());
        }
        self.shape = shape;
        if turns {
            self.forget_name();
        }
        self.reset_columns();
        self.dirty = true;
        // A small fleet is there at once.
        self.shape_step();
    }

    /// The host under the cursor, or the first one of the group there.
    fn some_host(&self) -> Option<Uid> {
        let node = if self.in_table() {
            NodeKey::Host(self.views.table.cursor.clone()?)
        } else {
            self.cursor.clone()?
        };
        self.inventory.rows_under(&node).next().map(|row| row.uid().clone())
    }

    /// Goes on with another grouping or order; the frame is due when it is done.
    pub(super) fn shape_step(&mut self) {
        let host = match &self.cursor {
            Some(NodeKey::Group(_)) if self.inventory.shape_pending() => self.some_host(),
            _ => None,
        };
        let done = self.inventory.shape_step(SHAPE_STEP);
        if self.inventory.grouping() != self.memory.now {
            self.regrouped(host);
        }
        if done {
            self.dirty = true;
            self.settle();
            self.settle_view();
        }
    }

    /// The tree has other groups: what was open in them before is open again, and a cursor on a
    /// group that is gone goes to where its first host is.
    fn regrouped(&mut self, host: Option<Uid>) {
        let levels = self.inventory.grouping().to_vec();
        let known = self.memory.others.iter().position(|(other, _)| *other == levels);
        let folds = known.map(|at| self.memory.others.remove(at).1);
        let folds = folds.unwrap_or_else(|| Folds::new(levels.len()));
        let before = std::mem::replace(&mut self.folds, folds);
        let was = std::mem::replace(&mut self.memory.now, levels);
        if self.memory.others.len() >= REMEMBERED {
            self.memory.others.remove(0);
        }
        self.memory.others.push((was, before));
        if let Some(uid) = host {
            self.cursor = Some(NodeKey::Host(uid));
        }
        self.top = None;
        self.forget_name();
        self.reset_columns();
    }

    /// The list of hosts that is shown, if it is one.
    pub fn list(&self) -> Option<List> {
        let table = self.views.now == super::View::Fleet && self.in_table();
        if table { Some(List::Table) } else { self.views.now.list() }
    }

    /// How hosts are grouped unless somebody says otherwise: where there are several servers, by
    /// these first.
    pub fn default_group(&self) -> Vec<Level> {
        let server = Some(Level::Server).filter(|_| self.servers.several());
        server.into_iter().chain(Shape::default().group).collect()
    }

    /// Groups the tree by these levels.
    pub(super) fn group_by(&mut self, group: Vec<Level>) {
        let form = Form::Tree;
        self.set_shape(Shape { form, group, ..self.shape.clone() });
    }

    /// Groups, sorts or chooses columns by what was typed.
    pub(super) fn shape_by_text(&mut self, what: Typed, text: &str) {
        let shape = match what {
            Typed::Group => Level::list(text).map(|group| Shape {
                form: Form::Tree,
                group,
                ..self.shape.clone()
            }),
            Typed::Sort => text.parse().map(|sort| Shape {
                sort: Some(sort),
                form: Form::Table,
                ..self.shape.clone()
            }),
            Typed::Columns => {
                columns(text).map(|columns| Shape { columns: Some(columns), ..self.shape.clone() })
            }
        };
        match shape {
            Ok(shape) => self.set_shape(shape),
            Err(problem) => self.fail(problem),
        }
    }

    /// Orders the table by the chosen column, or by the same one the other way round.
    pub(super) fn sort(&mut self, invert: bool) {
        if !self.in_table() {
            let key = self.key(Action::ToggleTable);
            return self.say(format!("the tree is ordered by name; {key} shows the table"));
        }
        let now = self.shape.sort.clone();
        let column = if invert {
            now.as_ref().map(|sort| sort.column.clone())
        } else {
            self.chosen_column()
        };
        let descending = invert && !now.as_ref().is_some_and(|sort| sort.descending);
        let sort = match column.or_else(|| DISPLAY.parse().ok().filter(|_| descending)) {
            // By name it is ordered anyway.
            Some(column) if !descending && column.to_string() == DISPLAY => None,
            column => column.map(|column| Sort { column, descending }),
        };
        self.set_shape(Shape { sort, ..self.shape.clone() });
    }

    /// From the tree to the table, and back.
    pub(super) fn toggle_table(&mut self) {
        let form = match self.shape.form {
            Form::Tree => Form::Table,
            Form::Table => Form::Tree,
        };
        self.set_shape(Shape { form, ..self.shape.clone() });
    }

    /// Every column of a wide table, or no more.
    pub(super) fn widen(&mut self) {
        self.set_shape(Shape { wide: !self.shape.wide, ..self.shape.clone() });
    }

    /// Lets the person choose the levels of the tree, or the columns.
    pub(super) fn pick(&mut self, what: What) {
        let several = self.servers.several();
        let picker = match what {
            What::Levels => Picker::of_levels(&self.inventory, &self.shape, several),
            What::Columns => Picker::of_columns(&self.inventory, self.columns.shown(), several),
        };
        self.overlay = Overlay::Pick(Box::new(picker));
    }

    /// What the picker chose; none: as at first.
    pub(super) fn picked(&mut self, what: What, chosen: Option<&[String]>) {
        let text = chosen.map(|chosen| chosen.join(","));
        match (what, text) {
            (What::Columns, None) => {
                let shape = Shape { columns: None, wide: false, ..self.shape.clone() };
                self.set_shape(shape);
            }
            (What::Columns, Some(text)) => {
                self.shape.wide = false;
                self.shape_by_text(Typed::Columns, &text);
            }
            (What::Levels, None) => self.group_by(self.default_group()),
            (What::Levels, Some(text)) => self.shape_by_text(Typed::Group, &text),
        }
    }

    /// The hosts on the lines of the table.
    pub fn table_rows(&self, height: usize) -> Vec<&HostRow> {
        let top = self.views.table.top.as_ref();
        top.map(|top| self.inventory.list_window(List::Table, top, height)).unwrap_or_default()
    }
}

/// What a text that was typed in the palette chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    /// The levels of the tree.
    Group,
    /// The order of the table.
    Sort,
    /// The columns.
    Columns,
}

impl Typed {
    /// Every one, with the word that it is typed behind.
    pub const WORDS: [(&'static str, Self); 3] =
        [("group", Self::Group), ("sort", Self::Sort), ("columns", Self::Columns)];

    /// What is wrong with a text; none: nothing.
    pub fn problem(self, text: &str) -> Option<String> {
        match self {
            Self::Group => Level::list(text).err(),
            Self::Sort => text.parse::<Sort>().err(),
            Self::Columns => columns(text).err(),
        }
    }
}

/// Columns that the explorer can show.
fn columns(text: &str) -> Result<Vec<Column>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let columns = Column::list(text)?;
    match columns.iter().find(|column| !column.is_kept()) {
        Some(column) => Err(not_kept(column)),
        None => Ok(columns),
    }
}

/// What is said of a column that only the whole object has.
pub(super) fn not_kept(column: &Column) -> String {
    format!("\"{column}\": the explorer keeps fields and labels; --headless get -o shows the rest")
}
