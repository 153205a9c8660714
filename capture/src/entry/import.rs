//! A module that is being imported: below its body are the frames of importlib, and C code.
//!
//! `import` and the function `__import__` have C code look for the module in `sys.modules`, have
//! importlib's `_find_and_load` import it, and from there on go on as if it had been found; for what
//! `from` asks a package for, `_handle_fromlist` has the last word. importlib's own frames are
//! captured like any others.

use super::{Callee, Caller, Explained, Refusal};
use crate::boundary::{self, Passage};
use crate::cpython::modules::import;
use crate::cpython::CURRENT;
use pyo3::prelude::*;

/// How the C code of an import leads to the callee; `None` if it does not.
pub(crate) fn passage_of_import(py: Python<'_>, callee: &Callee<'_>) -> PyResult<Option<Passage>> {
    let importlib = import(py, "_frozen_importlib")?;
    let is = |name: &str| {
        let found = importlib.getattr_opt(name)?;
        Ok::<_, PyErr>(found.is_some_and(|function| callee.is(&function)))
    };
    Ok(if is("_find_and_load")? {
        Some(Passage::Import)
    } else if is("_handle_fromlist")? {
        Some(Passage::Imported)
    } else {
        None
    })
}

/// The instruction `IMPORT_NAME`: its globals may have another `__import__`.
pub(super) fn explain_import<'py>(
    caller: &Caller<'_, 'py>,
    callee: &Callee<'py>,
) -> Result<Explained, Refusal> {
    let py = caller.py;
    if let Some(passage) = passage_of_import(py, callee)? {
        return caller.explained(callee, passage);
    }
    let refusal = || Refusal::Boundary("the import".into());
    let name = caller
        .name(caller.instruction.arg >> CURRENT.operands.import_shift)
        .ok_or_else(refusal)?;
    let builtins = caller.frame.globals().get_item("__builtins__")?;
    let import = match boundary::is_module(&builtins) {
        true => builtins.getattr("__import__")?,
        false => builtins.get_item("__import__")?,
    };
    let operands = [pyo3::types::PyString::new(py, &name).into_any()];
    match boundary::passage(py, &import, &operands, callee)? {
        Passage::Value => caller.value(),
        _ => Err(refusal()),
    }
}
