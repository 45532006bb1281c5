//! Brings a sealed segment to another directory.

use std::path::Path;

use crate::error::{Error, Result};
use crate::log::Segment;
use crate::store::live_segment::LiveSegment;
use crate::vfs::Vfs;

const PIECE: usize = 1 << 20;

/// How a segment got there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Both directories name the same file.
    Linked,
    /// There are two files now.
    Copied,
}

/// Gives the file of `live`, which is sealed, the name `to` as well, or copies it there where that is not possible. Its bytes, not
/// its name, are durable when this returns. `advance` hears of every further byte that is there.
pub fn bring(
    vfs: &dyn Vfs,
    live: &LiveSegment,
    to: &Path,
    advance: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Way> {
    let segment = &*live.segment;
    match vfs.hard_link(segment.path(), to) {
        Ok(()) => {
            // Sealing does not wait until its footer is durable.
            live.make_footer_durable(vfs, to)?;
            advance(segment.readable_end())?;
            Ok(Way::Linked)
        }
        Err(error) if can_be_copied(error.raw_os_error()) => {
            copy(vfs, segment, to, advance)?;
            Ok(Way::Copied)
        }
        Err(error) => Err(Error::io("link", to, &error)),
    }
}

/// Whether a file that cannot be linked for this reason may still be copied: another file system, one without links or
/// with too many of them, or a file that compaction has removed since, which stays readable as long as it is open.
fn can_be_copied(errno: Option<i32>) -> bool {
    matches!(
        errno,
        Some(
            libc::EXDEV
                | libc::EPERM
                | libc::EMLINK
                | libc::EOPNOTSUPP
                | libc::ENOSYS
                | libc::ENOENT
        )
    )
}

fn copy(
    vfs: &dyn Vfs,
    segment: &Segment,
    to: &Path,
    advance: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<()> {
    let failed = |doing: &str, error: std::io::Error| Error::io(doing, to, &error);
    let file = vfs
        .create_new(to)
        .map_err(|error| failed("create", error))?;
    #[cfg_attr(not(feature = "sabotage"), allow(unused_mut))]
    let mut end = segment.readable_end();
    sabotage!(BackupCopiedInPart, end /= 2);
    let mut piece = Vec::new();
    piece
        .try_reserve_exact(end.min(PIECE as u64) as usize)
        .map_err(|_| Error::memory("a backup"))?;
    for offset in (0..end).step_by(PIECE) {
        piece.resize((end - offset).min(PIECE as u64) as usize, 0);
        segment.read_exact_at(&mut piece, offset)?;
        file.write_all_at(&piece, offset)
            .map_err(|error| failed("write", error))?;
        advance(piece.len() as u64)?;
    }
    sabotage!(BackupUnsynced, return Ok(()));
    file.sync().map_err(|error| failed("sync", error))
}
