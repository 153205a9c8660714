//! The memory of bytes-like objects, without copies.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyBufferError, PyMemoryError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};
use std::ffi::c_char;
use std::ops::Deref;

/// The memory of a bytes-like object, which is kept alive and in place.
///
/// It may be read without the GIL. The program is stopped while its snapshot travels, so nobody
/// writes to it.
pub struct HeldBuffer(PyBuffer<u8>);

impl HeldBuffer {
    /// Takes hold of an object's memory, which must be in one piece.
    pub fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = PyBuffer::<u8>::get(object)?;
        if !buffer.is_c_contiguous() && !buffer.is_fortran_contiguous() {
            return Err(PyBufferError::new_err("the buffer is not in one piece"));
        }
        Ok(Self(buffer))
    }

    /// Where it begins.
    pub fn address(&self) -> usize {
        self.0.buf_ptr() as usize
    }
}

/// Whether the memory of an object may not be written to.
pub fn is_fixed(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    PyBuffer::<u8>::get(object)
        .map(|buffer| buffer.readonly())
        .or_else(|_| PyMemoryView::from(object)?.getattr("readonly")?.extract())
}

impl Deref for HeldBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.0.len_bytes() == 0 {
            return &[];
        }
        // SAFETY: the buffer protocol keeps the memory in place while the view is held; it is in one
        // piece, and, see above, nobody writes to it meanwhile.
        unsafe { std::slice::from_raw_parts(self.0.buf_ptr().cast(), self.0.len_bytes()) }
    }
}

/// A bytearray whose memory `fill` writes, all of it, with the GIL released.
pub fn filled_bytearray<'py, E: Send>(
    py: Python<'py>,
    length: usize,
    fill: impl FnOnce(&mut [u8]) -> Result<(), E> + Send,
) -> PyResult<Result<Bound<'py, PyByteArray>, E>> {
    // SAFETY: the two belong together, and make a bytearray.
    unsafe {
        let (make, memory_of) = (ffi::PyByteArray_FromStringAndSize, ffi::PyByteArray_AsString);
        filled(py, length, make, memory_of, fill)
    }
}

/// Bytes that `fill` writes, all of them, with the GIL released.
pub fn filled_bytes<'py, E: Send>(
    py: Python<'py>,
    length: usize,
    fill: impl FnOnce(&mut [u8]) -> Result<(), E> + Send,
) -> PyResult<Result<Bound<'py, PyBytes>, E>> {
    // SAFETY: the two belong together, and make bytes, whose hash nobody has asked for yet.
    unsafe {
        let (make, memory_of) = (ffi::PyBytes_FromStringAndSize, ffi::PyBytes_AsString);
        filled(py, length, make, memory_of, fill)
    }
}

/// The same of what `make` makes.
///
/// # Safety
///
/// `make` returns a new object of the type `T`, and `memory_of` where its memory of that length is.
unsafe fn filled<'py, T, E: Send>(
    py: Python<'py>,
    length: usize,
    make: unsafe extern "C" fn(*const c_char, ffi::Py_ssize_t) -> *mut ffi::PyObject,
    memory_of: unsafe extern "C" fn(*mut ffi::PyObject) -> *mut c_char,
    fill: impl FnOnce(&mut [u8]) -> Result<(), E> + Send,
) -> PyResult<Result<Bound<'py, T>, E>> {
    let size = ffi::Py_ssize_t::try_from(length)
        .map_err(|_| PyMemoryError::new_err(format!("a buffer of {length} bytes")))?;
    // SAFETY: see above. With no source the memory is only allocated; the object is ours alone until it is
    // returned, so that nobody sees or moves the memory while it is filled.
    let (made, memory) = unsafe {
        let made = Bound::from_owned_ptr_or_err(py, make(core::ptr::null(), size))?;
        let memory = std::slice::from_raw_parts_mut(memory_of(made.as_ptr()).cast(), length);
        (made.cast_into_unchecked::<T>(), memory)
    };
    in_large_pages(memory);
    Ok(py.detach(|| fill(memory)).map(|()| made))
}

/// As much memory as is worth large pages, which NumPy takes from 4 MB on, too.
const LARGE: usize = 4 << 20;
const PAGE: usize = 4096;

/// Asks the kernel for large pages under fresh memory: one fault for 2 MB in place of 512. A kernel without them is
/// as slow as it was.
fn in_large_pages(memory: &mut [u8]) {
    if memory.len() < LARGE {
        return;
    }
    let ahead = memory.as_ptr().align_offset(PAGE);
    let whole = &mut memory[ahead..];
    // SAFETY: the range is memory of ours from a page's beginning on; the advice changes nothing in it.
    unsafe {
        libc::madvise(
            whole.as_mut_ptr().cast(),
            whole.len() / PAGE * PAGE,
            libc::MADV_HUGEPAGE,
        );
    }
}
