//! Running CPython frames as data.
pub mod code;
pub mod payload;
pub mod snapshot;
