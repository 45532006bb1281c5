//! Reserving disk blocks, on the file systems that are known to keep what they reserve.

use std::fs;
use std::io;

use crate::vfs::Allocation;

/// Grows `file` to at least `length` bytes of reserved blocks; see [`crate::vfs::File::allocate`].
///
/// `supported` is what [`is_supported`] said of the file.
#[cfg(target_os = "linux")]
pub(super) fn allocate(file: &fs::File, length: u64, supported: bool) -> io::Result<Allocation> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;

    if !supported {
        return Ok(Allocation::Unsupported);
    }
    if length == 0 {
        return Ok(Allocation::Reserved); // `fallocate` takes no empty range
    }
    let reserve = || fallocate(file, FallocateFlags::empty(), 0, length);
    match rustix::io::retry_on_intr(reserve) {
        Ok(()) => Ok(Allocation::Reserved),
        // ext4 without extents, for one. `fallocate` never falls back to writing zeros, as `posix_fallocate`
        // does.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Allocation::Unsupported),
        Err(error) => Err(error.into()),
    }
}

/// Whether a block reserved in `file` stays reserved for a later write through a mapping: on ext4 and XFS,
/// which overwrite in place. A copy-on-write file system needs new blocks for every write, a network or user
/// space one promises nothing.
#[cfg(target_os = "linux")]
pub(super) fn is_supported(file: &fs::File) -> io::Result<bool> {
    const EXT4: u64 = 0xef53; // shared by ext2 and ext3, which refuse `fallocate` themselves
    const XFS: u64 = 0x5846_5342;

    let information = rustix::io::retry_on_intr(|| rustix::fs::fstatfs(file))?;
    // The field's type differs between architectures, signed on most.
    #[allow(clippy::unnecessary_cast)]
    let magic = information.f_type as u64;
    Ok(matches!(magic, EXT4 | XFS))
}

/// Nothing is known of this system's `fallocate`.
#[cfg(not(target_os = "linux"))]
pub(super) fn allocate(_: &fs::File, _: u64, _: bool) -> io::Result<Allocation> {
    Ok(Allocation::Unsupported)
}

/// Nothing is known of this system's file systems.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_supported(_: &fs::File) -> io::Result<bool> {
    Ok(false)
}
