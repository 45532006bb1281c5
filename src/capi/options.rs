//! How a store is opened.
#![allow(unsafe_code)]

use std::ffi::c_int;

use super::guard;
use super::status::{code_of, freyja_status::*};
use super::structs::{self, Growing, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Compaction, KeyStorage, OpenMode, Options, ReadChecks, ReadMode, SyncMode};
use freyja_compaction::*;
use freyja_key_storage::*;
use freyja_open_flag::*;
use freyja_read_checks::*;
use freyja_read_mode::*;
use freyja_sync_mode::*;

/// Bits of freyja_options.flags.
#[repr(C)]
pub enum freyja_open_flag {
    /// The store must exist, else FREYJA_NOT_FOUND.
    FREYJA_MUST_EXIST = 1,
    /// The store must not exist, else FREYJA_EXISTS.
    FREYJA_MUST_BE_NEW = 2,
    /// The store must exist and is opened for reading only, also while another process writes it: writing calls answer
    /// FREYJA_READ_ONLY, and nothing in the directory is changed.
    FREYJA_READ_ONLY_STORE = 4,
}

/// Values of freyja_options.sync_mode: when a put or delete returns.
#[repr(C)]
pub enum freyja_sync_mode {
    /// When it is durable. Concurrent writers share one sync. Survives power loss. The default.
    FREYJA_SYNC_ALWAYS = 0,
    /// When the system has it; made durable every sync_interval_ms. Survives a killed process; power loss
    /// costs at most the last interval.
    FREYJA_SYNC_INTERVAL = 1,
    /// When the system has it. Survives a killed process; power loss costs some of the latest writes.
    FREYJA_SYNC_NONE = 2,
}

/// Values of freyja_options.key_storage: where the keys are kept besides the log.
#[repr(C)]
pub enum freyja_key_storage {
    /// In memory: exists and misses need no disk. The default.
    FREYJA_KEYS_IN_MEMORY = 0,
    /// On disk only: some 7 bytes of memory a key, however long it is. A get costs what it costs with keys in
    /// memory; exists, put and delete read the record of a key that is there. Any store opens either way.
    FREYJA_KEYS_ON_DISK = 1,
}

/// Values of freyja_options.read_mode: how values are read.
#[repr(C)]
pub enum freyja_read_mode {
    /// Through memory mappings, without system calls. The default.
    FREYJA_READ_MAPPED = 0,
    /// By system calls: a failing disk then gives an error instead of SIGBUS.
    FREYJA_READ_PREAD = 1,
}

/// Values of freyja_options.read_checks: what is checked of a record before its value is given out.
#[repr(C)]
pub enum freyja_read_checks {
    /// All of its bytes, by their checksum. The default.
    FREYJA_CHECK_CHECKSUM = 0,
    /// That a record can lie there, and for gets that it is one of the key. The rest is what the disk says: for disks and
    /// file systems that have checksums themselves, and for values that do. Long values and iterators are read several
    /// times as fast. What opens, compacts, verifies or repairs a store checks all bytes in either case.
    FREYJA_CHECK_KEY = 1,
}

/// Values of freyja_options.compaction: when the space of deleted and superseded pairs is given back.
#[repr(C)]
pub enum freyja_compaction {
    /// In the background, when there is too much; with background_threads 0, by freyja_maintain. The default.
    FREYJA_COMPACTION_AUTOMATIC = 0,
    /// Only by freyja_compact.
    FREYJA_COMPACTION_MANUAL = 1,
}

/// Options of freyja_open. Start from FREYJA_OPTIONS_INIT or freyja_options_init, then set fields. A field
/// that is said to have a default takes it when it is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct freyja_options {
    /// sizeof(freyja_options), so that later versions of the library know what the caller knows.
    pub struct_size: u32,
    /// FREYJA_MUST_EXIST, FREYJA_MUST_BE_NEW, FREYJA_READ_ONLY_STORE or 0.
    pub flags: u32,
    /// FREYJA_SYNC_ALWAYS, FREYJA_SYNC_INTERVAL or FREYJA_SYNC_NONE.
    pub sync_mode: u32,
    /// Milliseconds between syncs with FREYJA_SYNC_INTERVAL, up to 3600000; default 1000.
    pub sync_interval_ms: u32,
    /// FREYJA_KEYS_IN_MEMORY or FREYJA_KEYS_ON_DISK.
    pub key_storage: u32,
    /// FREYJA_READ_MAPPED or FREYJA_READ_PREAD.
    pub read_mode: u32,
    /// Threads that Freyja may run: 0 or 1, which is what FREYJA_OPTIONS_INIT says. With 0, calls that make
    /// work necessary do it themselves.
    pub background_threads: u32,
    /// FREYJA_CHECK_CHECKSUM or FREYJA_CHECK_KEY.
    pub read_checks: u32,
    /// Bytes at which a segment file is full, from 4 KiB to 1 GiB; default 64 MiB. Those of a small store are smaller: about
    /// one part in 64 of it, but 5 MiB at least if that is less than this.
    pub segment_size: u64,
    /// Bytes of a page of the memory that holds keys, a power of two from 4 KiB to 1 MiB; default 4 KiB.
    pub slab_size: u64,
    /// Bytes of memory that the store may have; 0 is no limit, FREYJA_BUDGET_AUTO a fourth of what the process may have. What
    /// does not fit is answered with FREYJA_MEMORY before anything is written; reads, deletes, and overwrites that need no
    /// more memory go on. Not counted are buffers of values, batches of the caller, and mapped files.
    pub memory_budget: u64,
    /// How many keys are to be expected, so that the index is made large enough at once; default unknown.
    pub expected_keys: u64,
    /// FREYJA_COMPACTION_AUTOMATIC or FREYJA_COMPACTION_MANUAL.
    pub compaction: u32,
    /// How large the segment files may become, in percent of what is live in them: 110 to 1000; default 146. They are
    /// compacted early enough that what is copied meanwhile has room within that. A store of a few segment files may be
    /// larger, since the one that is written is not compacted.
    pub space_amplification: u32,
    /// How many bytes compaction may read and write in a second; 0 is no limit.
    pub compaction_bytes_per_second: u64,
}

// SAFETY: eight `u32`, four `u64`, two `u32` and a `u64` leave no padding.
unsafe impl Growing for freyja_options {
    const FIRST_SIZE: usize = 64;
    const NAME: &'static str = "freyja_options";
}

const _: () = assert!(size_of::<freyja_options>() == 80);

/// What FREYJA_OPTIONS_INIT is in the header.
const DEFAULTS: freyja_options = freyja_options {
    struct_size: size_of::<freyja_options>() as u32,
    flags: 0,
    sync_mode: FREYJA_SYNC_ALWAYS as u32,
    sync_interval_ms: 0,
    key_storage: FREYJA_KEYS_IN_MEMORY as u32,
    read_mode: FREYJA_READ_MAPPED as u32,
    background_threads: 1,
    read_checks: FREYJA_CHECK_CHECKSUM as u32,
    segment_size: 0,
    slab_size: 0,
    memory_budget: 0,
    expected_keys: 0,
    compaction: FREYJA_COMPACTION_AUTOMATIC as u32,
    space_amplification: 0,
    compaction_bytes_per_second: 0,
};

/// Fills in the default options; for languages that cannot use FREYJA_OPTIONS_INIT.
///
/// @param[out] o       the options.
/// @param struct_size  sizeof(freyja_options).
/// @return FREYJA_OK; FREYJA_INVALID if `o` is NULL or the size cannot be one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_options_init(o: *mut freyja_options, struct_size: usize) -> c_int {
    let outcome = guard::run(|| {
        // SAFETY: callers pass NULL, or have as many bytes there as they say (header, convention 3).
        let target = unsafe { Place::new(o, struct_size)? };
        let defaults = freyja_options {
            struct_size: struct_size as u32,
            ..DEFAULTS
        };
        target.set(&defaults);
        Ok(FREYJA_OK)
    });
    outcome.map_or_else(|error| code_of(&error), |status| status as c_int)
}

/// The options of a caller; NULL stands for the defaults.
///
/// # Safety
/// `pointer` is NULL, or as many bytes may be read there as its `struct_size` says.
pub unsafe fn from_caller(pointer: *const freyja_options) -> Result<Options> {
    if pointer.is_null() {
        return translate(&DEFAULTS);
    }
    // SAFETY: the pointer is not NULL; the rest is the same promise.
    translate(&unsafe { structs::read(pointer)? })
}

fn translate(options: &freyja_options) -> Result<Options> {
    let defaults = Options::default();
    Ok(Options {
        mode: open_mode(options.flags)?,
        sync_mode: sync_mode(options.sync_mode)?,
        sync_interval_ms: nonzero_or(options.sync_interval_ms, defaults.sync_interval_ms),
        key_storage: key_storage(options.key_storage)?,
        read_mode: read_mode(options.read_mode)?,
        read_checks: read_checks(options.read_checks)?,
        background_threads: options.background_threads,
        segment_size: nonzero_or(options.segment_size, defaults.segment_size),
        slab_size: nonzero_or(options.slab_size, defaults.slab_size),
        memory_budget: options.memory_budget,
        expected_keys: options.expected_keys,
        compaction: compaction(options.compaction)?,
        space_amplification: nonzero_or(options.space_amplification, defaults.space_amplification),
        compaction_bytes_per_second: options.compaction_bytes_per_second,
        ..defaults
    })
}

fn nonzero_or<T: Default + PartialEq>(value: T, default: T) -> T {
    if value == T::default() {
        default
    } else {
        value
    }
}

fn open_mode(flags: u32) -> Result<OpenMode> {
    let has = |flag: freyja_open_flag| flags & flag as u32 != 0;
    let known =
        FREYJA_MUST_EXIST as u32 | FREYJA_MUST_BE_NEW as u32 | FREYJA_READ_ONLY_STORE as u32;
    match (has(FREYJA_MUST_BE_NEW), has(FREYJA_READ_ONLY_STORE)) {
        _ if flags & !known != 0 => Err(invalid("flags", flags)),
        (false, true) => Ok(OpenMode::ReadOnly),
        (false, false) if has(FREYJA_MUST_EXIST) => Ok(OpenMode::MustExist),
        (false, false) => Ok(OpenMode::CreateIfMissing),
        (true, false) if !has(FREYJA_MUST_EXIST) => Ok(OpenMode::MustBeNew),
        (true, _) => Err(invalid("flags", flags)),
    }
}

fn sync_mode(number: u32) -> Result<SyncMode> {
    match number {
        n if n == FREYJA_SYNC_ALWAYS as u32 => Ok(SyncMode::Always),
        n if n == FREYJA_SYNC_INTERVAL as u32 => Ok(SyncMode::Interval),
        n if n == FREYJA_SYNC_NONE as u32 => Ok(SyncMode::None),
        _ => Err(invalid("sync_mode", number)),
    }
}

fn key_storage(number: u32) -> Result<KeyStorage> {
    match number {
        n if n == FREYJA_KEYS_IN_MEMORY as u32 => Ok(KeyStorage::InMemory),
        n if n == FREYJA_KEYS_ON_DISK as u32 => Ok(KeyStorage::OnDisk),
        _ => Err(invalid("key_storage", number)),
    }
}

fn read_mode(number: u32) -> Result<ReadMode> {
    match number {
        n if n == FREYJA_READ_MAPPED as u32 => Ok(ReadMode::Mapped),
        n if n == FREYJA_READ_PREAD as u32 => Ok(ReadMode::Pread),
        _ => Err(invalid("read_mode", number)),
    }
}

fn read_checks(number: u32) -> Result<ReadChecks> {
    match number {
        n if n == FREYJA_CHECK_CHECKSUM as u32 => Ok(ReadChecks::Checksum),
        n if n == FREYJA_CHECK_KEY as u32 => Ok(ReadChecks::Key),
        _ => Err(invalid("read_checks", number)),
    }
}

fn compaction(number: u32) -> Result<Compaction> {
    match number {
        n if n == FREYJA_COMPACTION_AUTOMATIC as u32 => Ok(Compaction::Automatic),
        n if n == FREYJA_COMPACTION_MANUAL as u32 => Ok(Compaction::Manual),
        _ => Err(invalid("compaction", number)),
    }
}

fn invalid(field: &str, number: u32) -> Error {
    let message = format!("freyja_options.{field} = {number:#x} has no meaning");
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut freyja_options)) -> Result<Options> {
        let mut options = DEFAULTS;
        change(&mut options);
        translate(&options)
    }

    #[test]
    fn the_defaults_are_those_of_the_store() {
        let (ours, theirs) = (translate(&DEFAULTS).unwrap(), Options::default());
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    }

    #[test]
    fn every_named_number_means_what_its_name_says() {
        let mode = |flags| with(|options| options.flags = flags).unwrap().mode;
        assert_eq!(mode(FREYJA_MUST_EXIST as u32), OpenMode::MustExist);
        assert_eq!(mode(FREYJA_MUST_BE_NEW as u32), OpenMode::MustBeNew);
        assert_eq!(mode(FREYJA_READ_ONLY_STORE as u32), OpenMode::ReadOnly);
        let sync = |number| {
            with(|options| options.sync_mode = number)
                .unwrap()
                .sync_mode
        };
        assert_eq!(sync(FREYJA_SYNC_ALWAYS as u32), SyncMode::Always);
        assert_eq!(sync(FREYJA_SYNC_INTERVAL as u32), SyncMode::Interval);
        assert_eq!(sync(FREYJA_SYNC_NONE as u32), SyncMode::None);
        let keys = |number| {
            with(|options| options.key_storage = number)
                .unwrap()
                .key_storage
        };
        assert_eq!(keys(FREYJA_KEYS_IN_MEMORY as u32), KeyStorage::InMemory);
        assert_eq!(keys(FREYJA_KEYS_ON_DISK as u32), KeyStorage::OnDisk);
        let read = |number| {
            with(|options| options.read_mode = number)
                .unwrap()
                .read_mode
        };
        assert_eq!(read(FREYJA_READ_MAPPED as u32), ReadMode::Mapped);
        assert_eq!(read(FREYJA_READ_PREAD as u32), ReadMode::Pread);
        let checks = |number| {
            with(|options| options.read_checks = number)
                .unwrap()
                .read_checks
        };
        assert_eq!(checks(FREYJA_CHECK_CHECKSUM as u32), ReadChecks::Checksum);
        assert_eq!(checks(FREYJA_CHECK_KEY as u32), ReadChecks::Key);
        let compaction = |number| {
            with(|options| options.compaction = number)
                .unwrap()
                .compaction
        };
        let automatic = compaction(FREYJA_COMPACTION_AUTOMATIC as u32);
        assert_eq!(automatic, Compaction::Automatic);
        assert_eq!(
            compaction(FREYJA_COMPACTION_MANUAL as u32),
            Compaction::Manual
        );
    }

    #[test]
    fn numbers_without_a_meaning_are_refused() {
        let refused = |change: fn(&mut freyja_options)| {
            let error = with(change).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
        };
        refused(|options| options.flags = 3);
        refused(|options| options.flags = 6);
        refused(|options| options.flags = 8);
        refused(|options| options.sync_mode = 3);
        refused(|options| options.key_storage = 2);
        refused(|options| options.read_mode = u32::MAX);
        refused(|options| options.read_checks = 2);
        refused(|options| options.compaction = 2);
    }

    #[test]
    fn fields_that_are_set_reach_the_store() {
        let options = with(|options| {
            options.sync_interval_ms = 20;
            options.background_threads = 0;
            options.segment_size = 1 << 20;
            options.slab_size = 8192;
            options.memory_budget = 9;
            options.expected_keys = 10;
            options.space_amplification = 200;
            options.compaction_bytes_per_second = 11;
        })
        .unwrap();
        assert_eq!(
            (options.sync_interval_ms, options.background_threads),
            (20, 0)
        );
        assert_eq!((options.segment_size, options.slab_size), (1 << 20, 8192));
        assert_eq!((options.memory_budget, options.expected_keys), (9, 10));
        assert_eq!(options.space_amplification, 200);
        assert_eq!(options.compaction_bytes_per_second, 11);
    }
}
