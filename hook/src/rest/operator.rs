//! A binary operator or a comparison whose method may have given `NotImplemented`.

use super::Next;
use capture::cpython::objects::lookup_on_type;
use capture::snapshot::Rest;
use capture::waiting::LiveEntry;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFunction, PyTuple, PyType};

type With<'py> = (
    String,
    Bound<'py, PyAny>,
    Bound<'py, PyAny>,
    Vec<(String, bool)>,
    bool,
    bool,
);

/// What comes after a method's answer.
pub(super) fn step<'py>(with: &Bound<'py, PyTuple>, answer: Bound<'py, PyAny>) -> PyResult<Next<'py>> {
    let py = with.py();
    let (sign, left, right, methods, is_comparison, as_bool) = with.extract::<With<'py>>()?;
    if !answer.is(py.NotImplemented()) {
        return Ok(match as_bool {
            true => Next::Truth(answer),
            false => Next::Done(answer),
        });
    }
    for (index, (name, is_reflected)) in methods.iter().enumerate() {
        let (receiver, other) = match is_reflected {
            true => (&right, &left),
            false => (&left, &right),
        };
        // What is no function of the program knows nothing of it.
        let method = lookup_on_type(&receiver.get_type(), name);
        let Some(method) = method.filter(|method| method.is_instance_of::<PyFunction>()) else {
            continue;
        };
        let arguments = (receiver, other).into_pyobject(py)?;
        let methods = methods[index + 1..].to_vec();
        let with = (sign, left, right, methods, is_comparison, as_bool).into_pyobject(py)?;
        return Ok(Next::Call {
            entry: LiveEntry::Rest {
                rest: Rest::Operator,
                step: 0,
                with: with.unbind(),
            },
            called: method,
            arguments,
            keywords: None,
        });
    }
    let identity = |is: bool| Ok(Next::Done(PyBool::new(py, is).to_owned().into_any()));
    let (left_name, right_name) = (name_of(&left.get_type())?, name_of(&right.get_type())?);
    match sign.as_str() {
        "==" if is_comparison => identity(left.is(&right)),
        "!=" if is_comparison => identity(!left.is(&right)),
        sign if is_comparison => Err(PyTypeError::new_err(format!(
            "'{sign}' not supported between instances of '{left_name}' and '{right_name}'"
        ))),
        sign => Err(PyTypeError::new_err(format!(
            "unsupported operand type(s) for {sign}: '{left_name}' and '{right_name}'"
        ))),
    }
}

/// A class as CPython's own messages name it: `tp_name`.
fn name_of(kind: &Bound<'_, PyType>) -> PyResult<String> {
    /// `Py_TPFLAGS_HEAPTYPE`.
    const HEAP_TYPE: u64 = 1 << 9;
    let name = kind.name()?.to_string();
    let module: String = kind.getattr("__module__")?.extract()?;
    let is_heap_type = kind.getattr("__flags__")?.extract::<u64>()? & HEAP_TYPE != 0;
    Ok(match is_heap_type || module == "builtins" {
        true => name,
        false => format!("{module}.{name}"),
    })
}
