//! The frame above: what it runs, and for whom.

use super::Refusal;
use crate::boundary;
use crate::cpython::frame::RunningFrame;
use crate::cpython::lifecycle;
use crate::cpython::modules::import;
use crate::cpython::objects::lookup_on_type;
use crate::delegation;
use crate::parameters::Parameters;
use pyo3::prelude::*;
use pyo3::types::{PyFunction, PyType};

/// The frame above.
pub(crate) struct Callee<'py> {
    pub frame: RunningFrame<'py>,
    pub code: Bound<'py, PyAny>,
    /// Whether it was entered through C.
    pub from_c: bool,
}

impl<'py> Callee<'py> {
    /// A frame, entered by its caller's evaluator or from C.
    pub fn of(frame: RunningFrame<'py>, from_c: bool) -> Self {
        Self {
            frame,
            code: frame.code().into_any(),
            from_c,
        }
    }

    /// What it was called with.
    pub fn parameters(&self) -> PyResult<Parameters<'py>> {
        Parameters::of(self.frame, self.code.cast()?)
    }

    /// Whether a call of this Python function has entered it. A call of a generator function makes a generator,
    /// whose frame runs later.
    pub fn is(&self, function: &Bound<'py, PyAny>) -> bool {
        let is_its_code = |code: Bound<'py, PyAny>| code.is(&self.code);
        self.frame.generator().is_none() && function.getattr("__code__").is_ok_and(is_its_code)
    }

    /// Whether it is asked for the truth of `object`.
    pub fn is_truth_of(&self, object: &Bound<'py, PyAny>) -> bool {
        self.is_method(object, "__bool__") || self.is_method(object, "__len__")
    }

    /// Whether the type of `object` defines `name` as a Python function that the callee runs.
    pub fn is_method(&self, object: &Bound<'py, PyAny>, name: &str) -> bool {
        self.is_method_of_type(&object.get_type(), name)
    }

    pub fn is_method_of_type(&self, kind: &Bound<'py, PyType>, name: &str) -> bool {
        lookup_on_type(kind, name).is_some_and(|found| self.is(&found) || self.is_wrapped(&found))
    }

    /// Whether it runs a class method that `kind` has under that name.
    pub fn is_class_method_of(&self, kind: &Bound<'py, PyType>, name: &str) -> bool {
        lookup_on_type(kind, name)
            .is_some_and(|found| boundary::is_builtin(&found, "classmethod") && self.is_wrapped(&found))
    }

    /// Whether it runs this function, or what a static or class method wraps.
    pub fn is_or_wraps(&self, found: &Bound<'py, PyAny>) -> bool {
        self.is(found) || self.is_wrapped(found)
    }

    /// A static or class method's function.
    fn is_wrapped(&self, found: &Bound<'py, PyAny>) -> bool {
        let wraps = boundary::is_builtin(found, "staticmethod") || boundary::is_builtin(found, "classmethod");
        wraps && found.getattr("__func__").is_ok_and(|function| self.is(&function))
    }

    /// Whether it is the frame of this generator or coroutine, or of the one that this goes on with.
    pub fn belongs_to(&self, object: &Bound<'py, PyAny>) -> bool {
        let generator = self.frame.generator();
        generator.is_some_and(|generator| {
            generator.is(object) || boundary::driven(object).is_some_and(|driven| generator.is(&driven))
        })
    }

    /// The object whose `__iter__` has made the generator that runs, if that is a generator function of the
    /// program's and the object is still known.
    pub fn iterates(&self) -> Result<Option<Bound<'py, PyAny>>, Refusal> {
        let kind = self
            .frame
            .generator()
            .map(|generator| boundary::kind_of(&generator));
        if kind.transpose()?.flatten().as_deref() != Some("generator") {
            return Ok(None);
        }
        let Some(receiver) = self.parameters()?.argument(0) else {
            return Ok(None);
        };
        let made_by = lookup_on_type(&receiver.get_type(), "__iter__");
        let made_by = made_by.filter(|made_by| made_by.is_exact_instance_of::<PyFunction>());
        let is_its_code =
            |made_by: Bound<'py, PyAny>| Ok::<_, PyErr>(made_by.getattr("__code__")?.is(&self.code));
        Ok(made_by.map_or(Ok(false), is_its_code)?.then_some(receiver))
    }

    /// Whether no other generator of the same function goes through this object.
    pub fn is_only_one_over(&self, object: &Bound<'py, PyAny>) -> PyResult<bool> {
        let py = object.py();
        if lifecycle::has_frozen(py)? {
            return Ok(false); // what is frozen is not looked at
        }
        let own = self.frame.generator();
        let own_frame = own.as_ref().map(|own| own.getattr("gi_frame")).transpose()?;
        let is_own =
            |one: &Bound<'py, PyAny>| [&own, &own_frame].into_iter().flatten().any(|own| own.is(one));
        for referrer in import(py, "gc")?
            .call_method1("get_referrers", (object,))?
            .try_iter()?
        {
            let referrer = referrer?;
            let code = match boundary::kind_of(&referrer)?.as_deref() {
                Some("generator") => referrer.getattr("gi_code")?,
                // A generator has a frame object that refers to what is in it (up to 3.10).
                Some("frame") => referrer.getattr("f_code")?,
                _ => continue,
            };
            if code.is(&self.code) && !is_own(&referrer) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether it is the innermost of the generators that `object` delegates through, which stand
    /// meanwhile.
    pub fn is_closed_through(&self, object: &Bound<'py, PyAny>) -> bool {
        let generator = self.frame.generator();
        let path = generator.zip(delegation::path(object));
        path.is_some_and(|(generator, path)| path.last().is_some_and(|last| last.object().is(&generator)))
    }
}
