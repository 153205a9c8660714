//! The secret that all hashes of texts depend on, and how an interpreter starts with that of another.
//!
//! It is chosen before anything is hashed, and cannot be changed after. An interpreter that no seed is given for
//! asks `getrandom` for its 24 bytes. So this library, loaded before the interpreter's own (`LD_PRELOAD`), offers
//! a function of that name, which answers that one request with what the environment says, and takes it out of
//! there: no child of the program sees any of it. Loaded as an extension module, it is in nobody's way.

use super::ffi::_Py_HashSecret;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many bytes there are.
pub const SECRET: usize = 24;

/// The variable that has them, as hexadecimal digits.
const VARIABLE: &CStr = c"PYTELEPORT_HASHES";
/// The variable by which this library is loaded.
const PRELOAD: &CStr = c"LD_PRELOAD";

/// The secret of this interpreter.
pub fn secret() -> [u8; SECRET] {
    // SAFETY: so many bytes on every release, written before the first object is made.
    unsafe { _Py_HashSecret }
}

/// Whether the one request was answered.
static ASKED: AtomicBool = AtomicBool::new(false);

/// As the C library's.
///
/// # Safety
/// There is room for `length` bytes at `into`.
#[no_mangle]
pub unsafe extern "C" fn getrandom(into: *mut libc::c_void, length: usize, flags: libc::c_uint) -> isize {
    if length == SECRET && !ASKED.swap(true, Ordering::Relaxed) {
        // SAFETY: an interpreter asks first when it starts, before there is another thread.
        if let Some(given) = unsafe { take_given() } {
            // SAFETY: the caller has room for as many.
            unsafe { into.cast::<[u8; SECRET]>().write_unaligned(given) };
            return SECRET as isize;
        }
    }
    // SAFETY: the caller's arguments, as they are.
    unsafe { libc::syscall(libc::SYS_getrandom, into, length, flags) as isize }
}

/// Takes the secret out of the environment, and with it what has loaded us.
///
/// # Safety
/// No other thread uses the environment.
unsafe fn take_given() -> Option<[u8; SECRET]> {
    // SAFETY: as above, so the texts stay until they are replaced; the names end with NUL.
    unsafe {
        let given = parse(text(VARIABLE)?.as_bytes())?;
        if let Some(rest) =
            text(PRELOAD).and_then(|words| words.as_bytes().iter().position(|byte| *byte == b':'))
        {
            let words = libc::getenv(PRELOAD.as_ptr());
            let rest = CStr::from_ptr(words.add(rest + 1)).to_owned();
            libc::setenv(PRELOAD.as_ptr(), rest.as_ptr(), 1);
        } else {
            libc::unsetenv(PRELOAD.as_ptr());
        }
        libc::unsetenv(VARIABLE.as_ptr());
        Some(given)
    }
}

/// A variable of the environment.
///
/// # Safety
/// No other thread changes the environment while the result is in use.
unsafe fn text<'a>(name: &CStr) -> Option<&'a OsStr> {
    // SAFETY: gives NULL, or a text that lives until the variable changes.
    unsafe {
        let found = libc::getenv(name.as_ptr());
        (!found.is_null()).then(|| OsStr::from_bytes(CStr::from_ptr(found).to_bytes()))
    }
}

fn parse(digits: &[u8]) -> Option<[u8; SECRET]> {
    let mut secret = [0; SECRET];
    if digits.len() != 2 * SECRET {
        return None;
    }
    for (byte, pair) in secret.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_digits_of_a_secret_are_one() {
        let digits: String = (0..SECRET).map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(parse(digits.as_bytes()).unwrap()[23], 23);
        for wrong in ["", "00", &digits[1..], &digits.replace('0', "g")] {
            assert_eq!(parse(wrong.as_bytes()), None);
        }
    }
}
