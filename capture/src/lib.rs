//! Running CPython frames as data.
//!
//! The way out: [`read`] walks the stack through the layouts of [`cpython`], asks [`code`] how deep
//! each value stack is and `entry` how each callee was entered, and makes a
//! [`snapshot`]; [`graph`] does the same for objects, and [`payload`] turns that into bytes. The way in is the mirror: [`payload`],
//! [`snapshot`], then [`morph`], which turns fresh frames into the captured ones.

mod boundary;
pub mod code;
pub mod consumed;
pub mod cpython;
mod delegation;
mod entry;
pub mod error;
pub mod generators;
pub mod graph;
mod kernel;
pub mod morph;
pub mod outlived;
mod parameters;
pub mod payload;
mod position;
pub mod read;
pub mod rest;
pub mod snapshot;
pub mod stacks;
pub mod threads;
pub mod waiting;

pub use error::{CaptureError, MorphError};
