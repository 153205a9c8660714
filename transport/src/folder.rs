//! The temporary folder of a package that home has sent to where none was installed, and its removal.
//!
//! Every process that runs from it holds a shared lock of a file in it. A guard waits for the lock of
//! its own, and removes the folder whatever has ended the others (`_lodge.py`). A relay or a warden is the
//! last to end where nothing goes wrong, and removes the folder first: a guard may be ended with all that
//! is in a container or a job.

use crate::error::TransportError;
use crate::fd;
use libc::{LOCK_EX, LOCK_NB, LOCK_SH};
use nix::fcntl::{open, OFlag};
use nix::sys::stat::Mode;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The name of the file that is locked, and how that of the folder begins: what is removed as a whole must be
/// nothing else. (`_lodge.py` makes both.)
const LOCK: &str = ".pyteleport-was-sent-here";
const FOLDER_PREFIX: &str = "pyteleport-";

/// The folder that this process runs from, if there is such a one.
static FOLDER: Mutex<Option<Folder>> = Mutex::new(None);

/// A folder that stays while this process holds it.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Holds the shared lock.
    lock: OwnedFd,
}

/// Holds the folder until this process ends, if it is such a one.
///
/// `held`: a descriptor that has held it for this process until now.
pub fn enter(path: &Path, held: Option<RawFd>) -> Result<(), TransportError> {
    let failed = |errno: nix::Error| TransportError::io("keep the temporary folder of pyteleport")(errno);
    let is_named_so = path
        .file_name()
        .is_some_and(|name| name.as_bytes().starts_with(FOLDER_PREFIX.as_bytes()));
    let (true, Ok(file)) = (is_named_so, open_lock(path)) else {
        return Ok(());
    };
    let lock = fd::duplicate_above(&file, fd::HIGH).unwrap_or(file);
    fd::lock(&lock, LOCK_SH | LOCK_NB).map_err(failed)?;
    let held = held.map(fd::inherited).transpose().map_err(failed)?;
    let folder = Folder {
        path: path.to_owned(),
        lock,
    };
    *FOLDER.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder);
    drop(held);
    Ok(())
}

/// Whether what replaces this process by exec holds it on, by the descriptor of this number; to be given to
/// [`enter`] there.
pub fn keep_on_exec(keep: bool) -> Option<RawFd> {
    let folder = FOLDER.lock().unwrap_or_else(PoisonError::into_inner);
    let lock = &folder.as_ref()?.lock;
    fd::keep_on_exec(lock, keep).ok()?;
    Some(lock.as_raw_fd())
}

/// Whether this process runs from one.
pub(crate) fn is_entered() -> bool {
    FOLDER.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

fn open_lock(path: &Path) -> nix::Result<OwnedFd> {
    open(&path.join(LOCK), OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
}

/// Lets go of the folder, and removes it unless others hold it. This process ends now.
pub fn leave() {
    let folder = FOLDER.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(Folder { path, lock }) = folder else {
        return;
    };
    // A lock belongs to what was opened, which our children share. (The file may be gone soon.)
    let file = open_lock(&path);
    drop(lock);
    let Ok(file) = file else { return };
    if fd::lock(&file, LOCK_EX | LOCK_NB).is_ok() {
        let _ = std::fs::remove_dir_all(&path);
    } else if fd::lock(&file, LOCK_SH | LOCK_NB).is_err() {
        // The guard is removing it.
        let _ = fd::lock(&file, LOCK_SH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_removes_it() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("pyteleport-1");
        std::fs::create_dir(&path).unwrap();
        enter(&path, None).unwrap(); // one that is installed there
        leave();
        std::fs::write(path.join(LOCK), "").unwrap();

        let other = open_lock(&path).unwrap();
        fd::lock(&other, LOCK_SH).unwrap();
        enter(&path, None).unwrap();
        leave();
        assert!(path.exists());
        enter(&path, None).unwrap();
        drop(other);
        leave();
        assert!(!path.exists());
    }
}
