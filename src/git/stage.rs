//! The temporary bare repository that a push starts from: exactly the refs to be moved, where they shall be, and the
//! mirror's objects.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use bstr::BStr;

use super::refs::Oid;
use crate::base::failure::Failure;
use crate::base::scratch::Scratch;

/// A bare repository that borrows the objects of a mirror. It is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Stage {
    folder: Scratch,
}

impl Stage {
    /// Makes one with these refs, in the system's temporary directory; no process is needed for it.
    ///
    /// # Errors
    /// `local_failed` or `disk_full` when it cannot be written.
    pub fn make<'a>(mirror: &Path, refs: impl Iterator<Item = (&'a BStr, Oid)>) -> Result<Self, Failure> {
        let broken = |error: io::Error| Failure::local("cannot make a temporary repository to push from", &error);
        let stage = Stage { folder: Scratch::make().map_err(broken)? };
        stage.fill(mirror, refs.collect()).map_err(broken)?;
        Ok(stage)
    }

    /// The repository's directory.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The refs stand in the order of their bytes, as git writes the file and searches it (git 2.19 and later).
    fn fill(&self, mirror: &Path, refs: BTreeMap<&BStr, Oid>) -> io::Result<()> {
        let long = refs.values().next().is_some_and(|oid| oid.to_string().len() == 64);
        let at = |name: &str| self.path().join(name);
        fs::create_dir_all(at("objects/info"))?;
        fs::create_dir(at("refs"))?;
        fs::write(at("HEAD"), "ref: refs/heads/none\n")?;
        fs::write(at("config"), if long { SHA256 } else { SHA1 })?;
        let objects = std::path::absolute(mirror.join("objects"))?;
        fs::write(at("objects/info/alternates"), [objects.as_os_str().as_bytes(), b"\n"].concat())?;
        let mut packed = b"# pack-refs with: sorted \n".to_vec();
        for (name, oid) in refs {
            packed.extend_from_slice(oid.to_string().as_bytes());
            packed.push(b' ');
            packed.extend_from_slice(name);
            packed.push(b'\n');
        }
        fs::write(at("packed-refs"), packed)
    }
}

const SHA1: &str = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n";
const SHA256: &str = "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat = sha256\n";
