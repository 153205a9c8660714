//! `print`: it makes a text of each object, and writes the texts one by one.
//!
//! Which of them it writes is in C. It is told by the text that the file's method was called with, or by the object
//! that is asked for one; where that comes twice, nothing tells.

use super::call::keyword_arguments;
use super::{Callee, Caller, Explained, Refusal};
use crate::boundary;
use crate::cpython::modules::import;
use crate::rest::{PrintRest, PrintStep};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

fn refusal(why: &str) -> Refusal {
    Refusal::Boundary(format!("print{why}"))
}

/// Explains what `print` has called for these objects.
pub(super) fn explain_print<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
    objects: &[Bound<'py, PyAny>],
) -> Result<Explained, Refusal> {
    let py = caller.py;
    let lost = || refusal(", with arguments that are not to be had any more");
    let options = keyword_arguments(caller)?.ok_or_else(lost)?;
    let file = match option(&options, "file")? {
        Some(file) => file,
        None => import(py, "sys")?.getattr("stdout")?,
    };
    let text = |name: &str, usual: &str| {
        let given = option(&options, name)?;
        Ok::<_, PyErr>(given.unwrap_or_else(|| PyString::new(py, usual).into_any()))
    };
    let (between, end) = (text("sep", " ")?, text("end", "\n")?);
    let mut pieces = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        if index > 0 {
            pieces.push(between.clone());
        }
        pieces.push(object.clone());
    }
    pieces.push(end);
    let flush = option(&options, "flush")?;
    let flush = flush.map_or(Ok(false), |flush| flush.is_truthy())?;

    let (step, left) = if callee.is_method(&file, "write") {
        let written = callee.parameters()?.argument(1);
        let written = written.ok_or_else(|| refusal(", to a method that has bound its parameter anew"))?;
        (
            PrintStep::Written,
            one_place(&pieces, |piece| may_be(piece, &written))?,
        )
    } else if flush && callee.is_method(&file, "flush") {
        (PrintStep::Flushed, Some(pieces.len()))
    } else {
        let asked = callee.parameters()?.argument(0);
        let asked = asked.filter(|asked| is_asked_for_text(callee, asked));
        let asked = asked.ok_or_else(|| refusal(""))?;
        let name = callee.code.getattr("co_name")?.eq("__repr__")?;
        let step = if name { PrintStep::Repr } else { PrintStep::Str };
        (step, one_place(&pieces, |piece| Ok(piece.is(&asked)))?)
    };
    let at = left.ok_or_else(|| refusal(", which writes or asks for the same text more than once"))?;
    let rest = PrintRest {
        left: PyTuple::new(py, pieces.get(at + 1..).unwrap_or_default())?,
        file,
        flush,
    };
    caller.without_operands(rest.entry(py, step)?, caller.below_result())
}

/// A keyword argument that is given, and not None.
fn option<'py>(options: &Bound<'py, PyDict>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(options.get_item(name)?.filter(|given| !given.is_none()))
}

/// The one piece that is meant, unless there are several.
fn one_place<'py>(
    pieces: &[Bound<'py, PyAny>],
    is_meant: impl Fn(&Bound<'py, PyAny>) -> PyResult<bool>,
) -> PyResult<Option<usize>> {
    let mut found = None;
    for (index, piece) in pieces.iter().enumerate() {
        if is_meant(piece)? && found.replace(index).is_some() {
            return Ok(None);
        }
    }
    Ok(found)
}

/// Whether a piece may be what is written as this text: only what has a text in C says so for sure.
fn may_be(piece: &Bound<'_, PyAny>, text: &Bound<'_, PyAny>) -> PyResult<bool> {
    let is_text = text.is_exact_instance_of::<PyString>();
    if piece.is_exact_instance_of::<PyString>() {
        return Ok(is_text && piece.eq(text)?);
    }
    let in_c = ["int", "float", "bool", "NoneType", "complex", "bytes"];
    match in_c.iter().any(|name| boundary::is_builtin(piece, name)) || piece.is_none() {
        true => Ok(is_text && text.eq(piece.str()?)?),
        false => Ok(true),
    }
}

/// Whether the callee makes the text of an object.
fn is_asked_for_text<'py>(callee: &Callee<'py>, object: &Bound<'py, PyAny>) -> bool {
    callee.is_method(object, "__str__") || callee.is_method(object, "__repr__")
}
