//! All objects that travel, as one graph: what was one object is one object after.
//!
//! The encoder walks depth first with a stack of its own, so nothing is too deep for it, and writes a flat row of
//! [`records`](crate::payload::records). It goes by exact types: what CPython has built in it takes apart itself, and
//! instances that are no more than their attributes; the Python side (`pyteleport.reducers`) is asked for the rest,
//! and answers as `__reduce_ex__` does. Every object with an identity is written once, numbers and texts too: by its
//! address, which is good for as long as the object is kept. A reference count tells that nobody else has an object;
//! its value then stands where it is needed.
//!
//! The decoder makes what the records say, in their order, which is that of `pickle`: parts before the whole, and
//! whatever is called gets arguments that are whole. Only cycles are another matter:
//!
//! - what can be made empty is, and filled when its parts are there (lists, dicts, sets, instances, cells, all that
//!   has a state);
//! - what is made at one go, of parts that lead back to it, comes before the innermost of them that can stay empty
//!   for so long (`finish` says how);
//! - sets and dicts whose keys' hashes may run code of the program, or need a state, are filled when everything that
//!   these keys can reach is there: the walk finds the groups of objects that lead to each other, and the last
//!   records of a group fill those.
//!
//! - [`Encoder`], `walk`, `instances`, `frames` and `finish`: the way out
//! - [`Decoder`]: the way in

mod decoder;
mod encoder;
mod finish;
mod frames;
mod instances;
mod memo;
mod out;
mod walk;

pub use decoder::{DecodeError, Decoder};
pub use encoder::{Encoder, Seam};
pub use memo::ByAddress;
pub use out::Piece;
