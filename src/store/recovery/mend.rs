//! Makes what counts durable and seals it; removes what does not count. Nothing durable is derived from the adopted tail
//! before that: its bytes may be in the page cache only.

use std::io;
use std::path::{Path, PathBuf};

use super::adoption::Adoptee;
use super::extent::Extent;
use super::survey::Survey;
use crate::error::{Error, Result};
use crate::log::footer::FOOTER_LEN;
use crate::log::writer::write_footer;
use crate::log::{Segment, segment_name};
use crate::vfs::{Access, File, Vfs};

/// What is copied at a time, and what will do where memory is short: failing here would stop all writing.
const PIECE: usize = 1 << 20;
const SMALL_PIECE: usize = 16 << 10;

/// Carries out what `survey` decided and removes `unborn` files, whose creation was cut short. Repeating it after a crash
/// in between comes to the same result. If `may_wait`, unsealed segments from the first on that must be copied are not adopted
/// but given back, limited to what counts: that takes time, and can be done when the store is open.
pub fn mend(
    vfs: &dyn Vfs,
    directory: &Path,
    survey: &Survey,
    unborn: &[PathBuf],
    may_wait: bool,
) -> Result<Vec<Adoptee>> {
    if !survey.gone.is_empty() {
        // What has replaced them may have got its name just before the last crash.
        sync_directory(vfs, directory)?;
        for path in &survey.gone {
            remove(vfs, path)?;
        }
    }
    // From the end backwards and before the torn segment is sealed, so that at no moment a later segment
    // follows a gap that looks complete.
    for path in survey.rejected.iter().rev() {
        remove(vfs, path)?;
        sync_directory(vfs, directory)?;
    }
    for path in unborn {
        remove(vfs, path)?;
    }
    let mut waiting = Vec::new();
    for kept in &survey.kept {
        sabotage!(TailLeft, continue);
        // A footer for what is left would say that nothing is missing.
        let Some(extent) = kept.unsealed.filter(|_| !kept.footer_is_missing) else {
            continue;
        };
        if may_wait && (must_copy(&extent) || !waiting.is_empty()) {
            kept.segment.limit(extent.end);
            let reserved = waiting.try_reserve(1);
            reserved.map_err(|_| Error::memory("the list of segments"))?;
            waiting.push(Adoptee {
                segment: kept.segment.clone(),
                extent,
            });
        } else {
            adopt(vfs, directory, &kept.segment, &extent, &mut false)?;
        }
    }
    // An open that was cut short may have left names that are not durable.
    sync_directory(vfs, directory)?;
    Ok(waiting)
}

fn must_copy(extent: &Extent) -> bool {
    !extent.has_footer && extent.unproven
}

fn remove(vfs: &dyn Vfs, path: &Path) -> Result<()> {
    vfs.remove(path)
        .map_err(|error| Error::io("remove", path, &error))
}

fn sync_directory(vfs: &dyn Vfs, directory: &Path) -> Result<()> {
    vfs.sync_directory(directory)
        .map_err(|error| Error::io("sync directory", directory, &error))
}

/// Makes what counts of `segment` durable and seals it there. After an error it may be repeated, unless a sync of the segment
/// has failed, which `sync_failed` tells.
pub fn adopt(
    vfs: &dyn Vfs,
    directory: &Path,
    segment: &Segment,
    extent: &Extent,
    sync_failed: &mut bool,
) -> Result<()> {
    if must_copy(extent) {
        match replace_by_copy(vfs, directory, segment, extent) {
            Err(error) if error.os_code() == libc::ENOSPC => {}
            result => return result,
        }
    }
    let path = segment.path();
    let file = vfs
        .open(path, Access::Write)
        .map_err(|error| Error::io("open for writing", path, &error))?;
    let mut sync_once = || sync(&*file, path).inspect_err(|_| *sync_failed = true);
    sync_once()?;
    if extent.has_footer {
        file.set_len(extent.end + FOOTER_LEN as u64)
            .map_err(|error| Error::io("cut to length", path, &error))?;
    } else {
        write_footer(segment, &*file, &extent.totals, extent.end, 0)?;
    }
    sync_once()
}

fn sync(file: &dyn File, path: &Path) -> Result<()> {
    file.sync().map_err(|error| Error::io("sync", path, &error))
}

/// Writes what counts into a new file that takes the segment's place. If an earlier sync of the old one failed, the
/// system has marked its bytes clean though they never reached the disk, and syncing it again would prove nothing; and
/// writing the bytes again in place could, at the next crash, take what is on the disk already.
fn replace_by_copy(
    vfs: &dyn Vfs,
    directory: &Path,
    segment: &Segment,
    extent: &Extent,
) -> Result<()> {
    sabotage!(
        CacheTrusted,
        return Err(Error::io(
            "skip",
            directory,
            &std::io::Error::from_raw_os_error(libc::ENOSPC)
        ))
    );
    let new_path = directory.join(segment_name::new_file_name(segment.id()));
    let created = match vfs.create_new(&new_path) {
        // An attempt before this one could not even remove what it began.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            remove(vfs, &new_path)?;
            vfs.create_new(&new_path)
        }
        created => created,
    };
    let file = created.map_err(|error| Error::io("create", &new_path, &error))?;
    let result = copy(segment, &*file, &new_path, extent.end)
        .and_then(|()| write_footer(segment, &*file, &extent.totals, extent.end, 0))
        .and_then(|_| sync(&*file, &new_path))
        .and_then(|()| {
            vfs.rename(&new_path, segment.path())
                .map_err(|error| Error::io("rename", &new_path, &error))
        });
    if result.is_err() {
        let _ = vfs.remove(&new_path);
        return result;
    }
    sync_directory(vfs, directory)
}

fn copy(segment: &Segment, to: &dyn File, to_path: &Path, end: u64) -> Result<()> {
    // The padding behind the last record may be missing.
    let end = end.min(segment.readable_end());
    let mut piece: Vec<u8> = Vec::new();
    let wanted = [PIECE, SMALL_PIECE].map(|length| (length as u64).min(end) as usize);
    let mut had = wanted.into_iter();
    let length = had.find(|length| piece.try_reserve_exact(*length).is_ok());
    let length = length.ok_or_else(|| Error::memory("recovery"))?.max(1);
    for offset in (0..end).step_by(length) {
        piece.resize((end - offset).min(length as u64) as usize, 0);
        segment.read_exact_at(&mut piece, offset)?;
        to.write_all_at(&piece, offset)
            .map_err(|error| Error::io("write", to_path, &error))?;
    }
    Ok(())
}
