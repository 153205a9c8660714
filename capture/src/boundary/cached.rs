//! `functools.lru_cache`: what it wraps is called where the arguments are not found, and then the result is kept.
//!
//! Called again, it looks once more, does not find them, and calls on. If it finds them, what it wraps has
//! called it with the same arguments meanwhile.

use super::{has_own_hash, is_exactly, is_python_class, name_of, passage, Passage};
use crate::cpython::fields;
use crate::entry::{Callee, Refusal};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString, PyTuple, PyType};

/// A call of a cache, as far as it is known where the cache is.
pub(crate) struct CachedCall {
    /// The cache.
    pub cache: Py<PyAny>,
    /// The positional arguments, and behind them the values of those that the call has given by keyword.
    pub arguments: Vec<Py<PyAny>>,
    /// Those that a partial adds.
    pub keywords: Py<PyDict>,
}

/// How calling the cache leads to the callee.
pub(super) fn through_cache<'py>(
    cache: &Bound<'py, PyAny>,
    arguments: &[Bound<'py, PyAny>],
    keywords: &Bound<'py, PyDict>,
    callee: &Callee<'py>,
) -> Result<Passage, Refusal> {
    let values = keywords.values();
    for argument in arguments.iter().cloned().chain(values.iter()) {
        if has_own_hash(&argument)? {
            return Err(Refusal::Boundary(
                name_of(cache) + ", a cache that asks an argument of the program for its hash",
            ));
        }
    }
    let function = fields::read(cache, "func")?.ok_or(Refusal::Unexplained)?;
    match passage(cache.py(), &function, arguments, callee)? {
        Passage::Value => Ok(Passage::Cached(CachedCall {
            cache: cache.clone().unbind(),
            arguments: arguments.iter().cloned().map(Bound::unbind).collect(),
            keywords: keywords.clone().unbind(),
        })),
        _ => Err(Refusal::Boundary(name_of(cache))),
    }
}

/// Whether a type has a method that is a cache of what the callee runs: the cache has called it, though nothing on
/// the stack may show that.
pub(crate) fn is_kept_by_cache(object: &Bound<'_, PyAny>, callee: &Callee<'_>) -> PyResult<bool> {
    for class in object.get_type().mro().iter() {
        if !is_python_class(class.cast::<PyType>()?) {
            continue;
        }
        // Nothing of the program runs meanwhile.
        for value in class.getattr("__dict__")?.call_method0("values")?.try_iter()? {
            let value = value?;
            let is_cache = is_exactly(value.py(), &value, "functools", "_lru_cache_wrapper")?;
            if is_cache && fields::read(&value, "func")?.is_some_and(|function| callee.is(&function)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

impl CachedCall {
    /// What the callee's result means, where the call itself gives these arguments by keyword, so many of which
    /// lie behind the positional ones.
    pub fn meaning(self, given: &Bound<'_, PyDict>, behind: usize) -> Result<Passage, Refusal> {
        let py = given.py();
        let cache = self.cache.bind(py);
        let keywords = self.keywords.bind(py).copy()?;
        keywords.update(given.as_mapping())?;
        let count = self.arguments.len().saturating_sub(behind);
        let arguments: Vec<_> = self.arguments[..count].iter().map(|each| each.bind(py)).collect();
        let number = |name: &str| -> PyResult<isize> {
            fields::read(cache, name)?.map_or(Ok(0), |number| number.extract())
        };
        if !is_there(cache, &arguments, &keywords, number("typed")? != 0)? {
            return Ok(Passage::AgainCached(self.cache));
        }
        // One that is limited leaves it at that, and any other puts the second result in place of the first.
        match number("maxsize")? > 0 {
            true => Ok(Passage::Value),
            false => Err(Refusal::Boundary(
                name_of(cache) + ", a cache that has got a result for these arguments meanwhile",
            )),
        }
    }
}

/// Whether there is a result for the arguments.
fn is_there<'py>(
    cache: &Bound<'py, PyAny>,
    arguments: &[&Bound<'py, PyAny>],
    keywords: &Bound<'py, PyDict>,
    typed: bool,
) -> PyResult<bool> {
    let py = cache.py();
    let Some(kept) = fields::read(cache, "cache")? else {
        return Ok(false);
    };
    let kept = kept.cast_into::<PyDict>()?;
    let is_plain = |argument: &Bound<'py, PyAny>| {
        argument.is_exact_instance_of::<PyString>() || argument.is_exact_instance_of::<PyInt>()
    };
    if keywords.is_empty() && !typed {
        return match arguments {
            [one] if is_plain(one) => kept.contains(one),
            several => kept.contains(PyTuple::new(py, several)?),
        };
    }
    // A key of several parts, one of which is a mark that C alone knows.
    let mut parts: Vec<Option<Bound<'py, PyAny>>> =
        arguments.iter().map(|&each| Some(each.clone())).collect();
    if !keywords.is_empty() {
        parts.push(None);
    }
    for (name, value) in keywords.iter() {
        parts.extend([Some(name), Some(value)]);
    }
    if typed {
        let values = keywords.values();
        let all = arguments.iter().map(|&each| each.clone()).chain(values.iter());
        parts.extend(all.map(|argument| Some(argument.get_type().into_any())));
    }
    for key in kept.keys() {
        if is_key(&key, &parts)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a cache's key is made of these parts.
fn is_key<'py>(key: &Bound<'py, PyAny>, parts: &[Option<Bound<'py, PyAny>>]) -> PyResult<bool> {
    let Ok(key) = key.cast::<PyTuple>() else {
        return Ok(false);
    };
    if key.len() != parts.len() {
        return Ok(false);
    }
    for (found, part) in key.iter().zip(parts) {
        let Some(part) = part else { continue };
        if !found.is(part) && !found.eq(part)? {
            return Ok(false);
        }
    }
    Ok(true)
}
