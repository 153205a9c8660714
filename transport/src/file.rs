//! A payload in a file.

use crate::handoff::PayloadSource;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::Builder;

/// Writes a payload so that the file is either what it was before, or all there, also if the
/// machine stops: beside it first, then in its place.
///
/// A new file gets the permissions that the process gives to new files, one that was there keeps
/// its own; a symbolic link stays and its target is replaced. What is no regular file (a pipe,
/// `/dev/stdout`) is written as it is.
pub fn write(path: &Path, payload: &dyn PayloadSource) -> io::Result<()> {
    let (target, permissions) = match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => {
            let mut file = OpenOptions::new().write(true).open(path)?;
            write_whole(&mut file, payload)?;
            return Ok(());
        }
        Ok(metadata) => (fs::canonicalize(path)?, Some(metadata.permissions())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (path.to_owned(), None),
        Err(error) => return Err(error),
    };
    let folder = folder_of(&target);
    let mut beside = Builder::new()
        .prefix(".pyteleport-")
        .permissions(Permissions::from_mode(0o666)) // less what the umask takes
        .tempfile_in(&folder)?;
    write_whole(beside.as_file_mut(), payload)?;
    if let Some(permissions) = permissions {
        beside.as_file().set_permissions(permissions)?;
    }
    beside.as_file().sync_all()?;
    beside.persist(&target).map_err(|error| error.error)?;
    // The new name is on disk when its folder is; some file systems cannot be asked for that.
    let _ = File::open(&folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Opens a payload; also says how long it is, if that is known before it has been read.
pub fn open(path: &Path) -> io::Result<(File, Option<u64>)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok((file, metadata.is_file().then_some(metadata.len())))
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Writes the payload, and checks that it is as long as it said.
fn write_whole(file: &mut File, payload: &dyn PayloadSource) -> io::Result<()> {
    let mut counting = Counting { file, written: 0 };
    let mut gathering = io::BufWriter::with_capacity(128 << 10, &mut counting);
    payload.write_to(&mut gathering)?;
    gathering.flush()?;
    drop(gathering);
    match counting.written == payload.len() {
        true => Ok(()),
        false => Err(io::Error::other("the payload is not as long as it said")),
    }
}

struct Counting<'a> {
    file: &'a mut File,
    written: u64,
}

impl Write for Counting<'_> {
    fn write(&mut self, block: &[u8]) -> io::Result<usize> {
        let length = self.file.write(block)?;
        self.written += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Writes half of what it says, then fails.
    struct Broken;

    impl PayloadSource for Broken {
        fn len(&self) -> u64 {
            8
        }
        fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
            out.write_all(b"half")?;
            Err(io::Error::other("broken"))
        }
    }

    /// Says more than it writes.
    struct Short;

    impl PayloadSource for Short {
        fn len(&self) -> u64 {
            8
        }
        fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
            out.write_all(b"half")
        }
    }

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_file_is_written_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.tp");
        write(&path, &b"first".as_slice()).unwrap();
        write(&path, &b"second".as_slice()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(open(&path).unwrap().1, Some(6));
        assert_eq!(entries(folder.path()), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.tp");
        fs::write(&path, "old").unwrap();
        assert!(write(&path, &Broken).is_err());
        assert!(write(&path, &Short).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(entries(folder.path()), 1);
    }

    #[test]
    fn a_new_file_is_as_any_new_file_and_an_old_one_keeps_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (usual, ours) = (folder.path().join("usual"), folder.path().join("ours"));
        fs::write(&usual, "").unwrap();
        write(&ours, &b"".as_slice()).unwrap();
        assert_eq!(mode(&ours), mode(&usual));
        fs::set_permissions(&ours, Permissions::from_mode(0o640)).unwrap();
        write(&ours, &b"again".as_slice()).unwrap();
        assert_eq!(mode(&ours), 0o640);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "old").unwrap();
        symlink("target", &link).unwrap();
        write(&link, &b"new".as_slice()).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&target).unwrap(), b"new");
    }

    #[test]
    fn what_is_no_regular_file_is_written_as_it_is() {
        write(Path::new("/dev/null"), &b"bytes".as_slice()).unwrap();
        assert!(fs::metadata("/dev/null").is_ok_and(|metadata| !metadata.is_file()));
        assert!(open(Path::new("/")).is_err());
    }
}
