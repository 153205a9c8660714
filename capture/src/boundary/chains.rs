//! Iterators that begin with items which were taken already, and go on with a source.

use super::kind_of;
use crate::cpython::fields;
use crate::cpython::modules::import;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

/// An iterator over these items and then over a source, which is not asked for an iterator again.
pub(crate) fn chained<'py>(
    items: &Bound<'py, PyList>,
    source: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = items.py();
    let mut source = source.clone();
    if kind_of(&source)?.is_none() {
        // One that gives what another gives, whose own `__iter__` is not the program's.
        let through = chain_of(py, &[])?;
        fields::write(&through, "active", Some(source))?;
        source = through;
    }
    chain_of(py, &[items.as_any(), &source])
}

/// What is asked next in place of an iterator that `chained` has made and that is through with its items: that may go
/// on for ever, and is not to grow by each move.
pub(crate) fn without_spent_items<'py>(iterator: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let mut iterator = iterator.clone();
    while kind_of(&iterator)?.as_deref() == Some("chain") {
        let (source, active) = (
            fields::read(&iterator, "source")?,
            fields::read(&iterator, "active")?,
        );
        let (Some(source), Some(active)) = (source, active) else {
            break;
        };
        let is_ours = kind_of(&source)?.as_deref() == Some("list_reverseiterator");
        // One that is not CPython's own is left in the chain that gives what it gives.
        let goes_on = kind_of(&active)?.is_some();
        if !is_ours || !goes_on || source.call_method0("__length_hint__")?.extract::<usize>()? > 0 {
            break;
        }
        iterator = active;
    }
    Ok(iterator)
}

/// A chain of these. Its own source, by which it is known, goes backwards: what such a chain gives to C code is
/// not written down, as that is what the last of these gives.
fn chain_of<'py>(py: Python<'py>, parts: &[&Bound<'py, PyAny>]) -> PyResult<Bound<'py, PyAny>> {
    let parts = PyList::new(py, parts.iter().rev())?.call_method0("__reversed__")?;
    import(py, "itertools")?
        .getattr("chain")?
        .call_method1("from_iterable", (parts,))
}

/// What is left of a source, where that is a chain of ours which has come to its last part.
fn unchained<'py>(source: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let mut source = source.clone();
    while kind_of(&source)?.as_deref() == Some("chain") {
        let (Some(parts), Some(active)) =
            (fields::read(&source, "source")?, fields::read(&source, "active")?)
        else {
            break;
        };
        let is_ours = kind_of(&parts)?.as_deref() == Some("list_reverseiterator");
        if !is_ours || fields::read(&parts, "it_index")?.map_or(Ok(0), |index| index.extract::<isize>())? >= 0
        {
            break;
        }
        source = active;
    }
    Ok(source)
}

/// A `zip` that does the same as one which has taken these items, each from its source, and asks the next one: it
/// has those to take once more.
pub(super) fn zip_again<'py>(
    zip: &Bound<'py, PyAny>,
    taken: Vec<Bound<'py, PyAny>>,
    sources: Vec<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = zip.py();
    let mut again = Vec::with_capacity(sources.len());
    let mut taken = taken.into_iter();
    for source in sources {
        again.push(match taken.next() {
            Some(item) => chained(&PyList::new(py, [item])?, &unchained(&source)?)?,
            None => source,
        });
    }
    // Made over nothing, as one that is made over iterators asks them for theirs.
    let made = zip.get_type().call0()?;
    let count = again.len();
    let nothing = PyTuple::new(py, (0..count).map(|_| py.None()))?;
    fields::write(&made, "tuplesize", Some(count.into_pyobject(py)?.into_any()))?;
    fields::write(&made, "ittuple", Some(PyTuple::new(py, again)?.into_any()))?;
    fields::write(&made, "result", Some(nothing.into_any()))?;
    Ok(made)
}
