//! What kind of object an id names, read from the packs of a repository: index, offset, header (gitformat-pack(5)).

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::git::refs::Oid;

/// The kinds of objects, as far as they matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Commit,
    /// An annotated tag.
    Tag,
    /// A tree or a blob.
    Other,
}

/// With more packs than this git looks: each is two open files.
const MOST: usize = 64;
/// No delta is built upon more others than this (`pack.depth` is at most 4095).
const DEEPEST: usize = 4096;
/// From here on a stretch of an index is read in one go.
const STRETCH: u64 = 64;

const HASH: u64 = 20;
const HEADER: u64 = 8;
const FANOUT: u64 = 4 * 256;

/// All packs of a repository.
#[derive(Debug)]
pub(super) struct Packs(Vec<Pack>);

impl Packs {
    /// Opens the packs in `folder`; `None` when one of them is not understood.
    pub fn open(folder: &Path) -> Option<Self> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Some(Packs(Vec::new())),
            Err(_) => return None,
        };
        let mut packs = Vec::new();
        for entry in entries {
            let path = entry.ok()?.path();
            let is_index = path.extension().is_some_and(|extension| extension == "idx");
            if is_index && path.file_name()?.to_str()?.starts_with("pack-") {
                if packs.len() == MOST {
                    return None;
                }
                packs.push(Pack::open(&path)?);
            }
        }
        Some(Packs(packs))
    }

    /// The kind of the object `oid`; `None` when no pack has it, or it cannot be read.
    pub fn kind(&mut self, oid: Oid) -> Option<Kind> {
        let (at, place) = self.0.iter().enumerate().find_map(|(at, pack)| Some((at, pack.find(oid.bytes())?)))?;
        // What was asked for last has most likely the next one as well.
        self.0.swap(0, at);
        self.0.first()?.kind(place)
    }
}

#[derive(Debug)]
struct Pack {
    index: File,
    pack: File,
    /// How many objects begin with a byte up to this one.
    fanout: Vec<u32>,
    size: u64,
}

impl Pack {
    fn open(path: &Path) -> Option<Self> {
        let index = File::open(path).ok()?;
        let pack = File::open(path.with_extension("pack")).ok()?;
        // Version 2, which git writes since 1.6.
        let head = read(&index, 0, HEADER + FANOUT)?;
        let fanout: Vec<u32> = head[8..].chunks_exact(4).map(number).collect::<Option<_>>()?;
        let count = *fanout.last()?;
        let (length, size) = (index.metadata().ok()?.len(), pack.metadata().ok()?.len());
        let long_enough = length >= HEADER + FANOUT + u64::from(count) * (HASH + 8) + 2 * HASH;
        if !head.starts_with(b"\xfftOc\0\0\0\x02") || !fanout.is_sorted() || !long_enough {
            return None;
        }
        // As git does before it uses a pack: it has as many objects as its index, which repeats its checksum.
        let start = read(&pack, 0, 12)?;
        let is_its = start.starts_with(b"PACK\0\0\0\x02")
            && number(&start[8..])? == count
            && read(&pack, size.checked_sub(HASH)?, HASH)? == read(&index, length - 2 * HASH, HASH)?;
        is_its.then_some(Pack { index, pack, fanout, size })
    }

    fn count(&self) -> u64 {
        self.fanout.last().map_or(0, |&count| count.into())
    }

    /// Where in the pack the object begins.
    fn find(&self, oid: &[u8]) -> Option<u64> {
        let first = usize::from(*oid.first()?);
        let mut low = if first == 0 { 0 } else { u64::from(*self.fanout.get(first - 1)?) };
        let mut high = u64::from(*self.fanout.get(first)?);
        let ids = HEADER + FANOUT;
        while high - low > STRETCH {
            let middle = low + (high - low) / 2;
            match read(&self.index, ids + middle * HASH, HASH)?.as_slice() <= oid {
                true => low = middle,
                false => high = middle,
            }
        }
        let stretch = read(&self.index, ids + low * HASH, (high - low) * HASH)?;
        let place = stretch.chunks_exact(20).position(|id| id == oid)?;
        let at = low + u64::try_from(place).ok()?;
        // Behind the ids stand their checksums, then the offsets.
        let offsets = ids + self.count() * (HASH + 4);
        let offset = number(&read(&self.index, offsets + at * 4, 4)?)?;
        if offset & (1 << 31) == 0 {
            return Some(offset.into());
        }
        // Too large for 31 bits: it stands in a table of its own.
        let large = offsets + self.count() * 4 + u64::from(offset & !(1 << 31)) * 8;
        Some(u64::from_be_bytes(read(&self.index, large, 8)?.try_into().ok()?))
    }

    /// The kind of the object at `offset`, which a delta has from what it is built upon.
    fn kind(&self, offset: u64) -> Option<Kind> {
        let mut offset = offset;
        for _ in 0..DEEPEST {
            let room = self.size.checked_sub(offset)?.min(64);
            let head = read(&self.pack, offset, room)?;
            // Three bits of the first byte; the size goes on while a byte's first bit is set.
            let length = head.iter().position(|byte| byte & 0x80 == 0)? + 1;
            let rest = &head[length..];
            match head[0] >> 4 & 7 {
                1 => return Some(Kind::Commit),
                2..=3 => return Some(Kind::Other),
                4 => return Some(Kind::Tag),
                6 => offset = offset.checked_sub(distance(rest)?)?,
                7 => offset = self.find(rest.get(..20)?)?,
                _ => return None,
            }
        }
        None
    }
}

/// How far before a delta its base lies: seven bits in each byte, and one more for each byte that follows.
fn distance(bytes: &[u8]) -> Option<u64> {
    let mut value: u64 = 0;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        let bits = u64::from(byte & 0x7f);
        value = if at == 0 { bits } else { ((value + 1) << 7) + bits };
        if byte & 0x80 == 0 {
            return (value > 0).then_some(value);
        }
    }
    None
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn read(file: &File, at: u64, length: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut bytes, at).ok()?;
    Some(bytes)
}
