//! The shape in which hosts are shown.

use super::Model;
use crate::model::shape::Shape;

impl Model {
    /// How hosts are shown.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Shows hosts in another shape.
    pub fn set_shape(&mut self, shape: Shape) {
        self.shape = shape;
        self.dirty = true;
    }
}
