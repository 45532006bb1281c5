//! Verifying and repairing a store that is not open.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;

use super::arguments::{self, Output};
use super::error::{freyja_error, report};
use super::guard;
use super::status::freyja_status::*;
use super::structs::{Growing, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{self, Finding, FindingKind, RepairReport, Salvage, Severity, VerifyReport};
use freyja_finding_kind::*;
use freyja_repair_flag::*;
use freyja_severity::*;

/// Values of freyja_finding.kind. Later versions may add some.
#[repr(C)]
pub enum freyja_finding_kind {
    /// Bytes that should be a record, or several, are not what was written.
    FREYJA_FOUND_DAMAGED_RECORD = 1,
    /// The header of a segment file is damaged; the copy at its end takes its place, so nothing is lost.
    FREYJA_FOUND_DAMAGED_HEADER = 2,
    /// Nothing in a segment file can be read.
    FREYJA_FOUND_UNUSABLE_FILE = 3,
    /// A segment file belongs to another store.
    FREYJA_FOUND_OTHER_STORE = 4,
    /// A segment file is a copy, or an older state, of another.
    FREYJA_FOUND_REPEATED_SEGMENT = 5,
    /// A segment's name belongs to something that is not a regular file; the store cannot be opened.
    FREYJA_FOUND_NOT_A_FILE = 6,
    /// By the numbers of the others, or by an image of the index, there were records where there are none: a file is missing or was
    /// cut.
    FREYJA_FOUND_MISSING_RECORDS = 7,
    /// The end of a segment file counts other records than there are.
    FREYJA_FOUND_WRONG_FOOTER = 8,
    /// The hints in a segment file are damaged. Nothing but time depends on them.
    FREYJA_FOUND_DAMAGED_HINTS = 9,
    /// An image of the index is damaged. Opening rebuilds that part from the log.
    FREYJA_FOUND_DAMAGED_IMAGE = 10,
    /// An image of the index is intact and says something else than the log.
    FREYJA_FOUND_WRONG_IMAGE = 11,
    /// The end of a log that a crash cut short. None of it was promised to survive.
    FREYJA_FOUND_TORN_TAIL = 16,
    /// A file whose creation was cut short. The next open removes it.
    FREYJA_FOUND_UNFINISHED_FILE = 17,
    /// An image of the index that does not belong to the log as it is now. Opening passes it over.
    FREYJA_FOUND_UNUSED_IMAGE = 18,
    /// freyja_repair only: an older version of a key was saved.
    FREYJA_FOUND_OLDER_VERSION = 19,
}

/// Values of freyja_finding.severity.
#[repr(C)]
pub enum freyja_severity {
    /// What a crash leaves; opening the store mends it.
    FREYJA_NOTE = 0,
    /// Stored bytes are not what was written, but no key's newest value is lost.
    FREYJA_DAMAGE = 1,
    /// Newest values of keys are lost, or may be.
    FREYJA_LOSS = 2,
}

/// Bits of the flags of freyja_repair.
#[repr(C)]
pub enum freyja_repair_flag {
    /// Saves the newest intact version of a key whose newest record is known to be damaged, and tells so.
    FREYJA_REPAIR_OLDER_VERSIONS = 1,
}

/// Something that verifying or repairing came upon. It and what it points to is valid during the call of the callback.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct freyja_finding {
    /// Bytes of this struct that the library knows: do not look at fields beyond.
    pub struct_size: u32,
    /// A value of freyja_finding_kind.
    pub kind: u32,
    /// A value of freyja_severity.
    pub severity: u32,
    /// Always 0.
    pub reserved: u32,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// Of how many bytes it speaks; 0 if of none in particular.
    pub length: u64,
    /// Sequence number of the first record concerned; 0 if not known.
    pub first_sequence: u64,
    /// Sequence number of the last record concerned.
    pub last_sequence: u64,
    /// Path of the file.
    pub file: *const c_char,
    /// What it means and what to do: one sentence in UTF-8.
    pub message: *const c_char,
    /// The key concerned; NULL if it is not known or not one.
    pub key: *const c_void,
    /// Length of the key in bytes.
    pub key_len: usize,
}

/// Gets each finding, in the thread of the caller. May be NULL where it is asked for.
pub type freyja_finding_fn =
    Option<unsafe extern "C" fn(finding: *const freyja_finding, user: *mut c_void)>;

/// What verifying a store amounts to.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct freyja_verify_report {
    /// Bytes of this struct that the library knows: fields beyond are 0.
    pub struct_size: u32,
    /// Always 0.
    pub reserved: u32,
    /// Segment files that count.
    pub segments: u64,
    /// Bytes of these that were read.
    pub bytes: u64,
    /// Intact puts and deletes.
    pub records: u64,
    /// Keys whose newest record is intact.
    pub keys: u64,
    /// Keys whose newest record is known to be damaged. Each has a finding that names it.
    pub lost_keys: u64,
    /// Records that are damaged or missing, as far as they can be counted.
    pub lost_records: u64,
    /// Of these, how many leave no trace of their key.
    pub unidentified_records: u64,
    /// How many of the keys were last written before a lost record of which nobody can tell for sure whose it was: at most
    /// as many of them as such records had a newer value than the one that is there.
    pub keys_in_doubt: u64,
    /// Bytes that a crash cut short.
    pub torn_bytes: u64,
    /// Images of the index.
    pub images: u64,
    /// Findings of every kind.
    pub findings: u64,
    /// Findings of severity FREYJA_DAMAGE or FREYJA_LOSS.
    pub damages: u64,
    /// Findings of severity FREYJA_LOSS.
    pub losses: u64,
}

/// What repairing a store amounts to.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct freyja_repair_report {
    /// Bytes of this struct that the library knows: fields beyond are 0.
    pub struct_size: u32,
    /// Always 0.
    pub reserved: u32,
    /// Keys saved, those with older versions as well.
    pub keys_saved: u64,
    /// Bytes of their keys and values.
    pub bytes_saved: u64,
    /// Of these keys, how many with an older version; only with FREYJA_REPAIR_OLDER_VERSIONS.
    pub older_versions: u64,
    /// Keys that are known and were left out, because their newest record is damaged. Each has a finding that names it.
    pub keys_left_out: u64,
    /// Keys left out because their pair had expired, and that had been noticed. Others that have expired are saved with
    /// their expiry.
    pub keys_expired: u64,
    /// As in freyja_verify_report, of the original.
    pub keys_in_doubt: u64,
    /// As in freyja_verify_report, of the original.
    pub lost_records: u64,
    /// As in freyja_verify_report, of the original.
    pub unidentified_records: u64,
    /// As in freyja_verify_report, of the original.
    pub damages: u64,
    /// As in freyja_verify_report, of the original.
    pub losses: u64,
}

// SAFETY: two `u32` and 13 `u64` leave no padding.
unsafe impl Growing for freyja_verify_report {
    const FIRST_SIZE: usize = 112;
    const NAME: &'static str = "freyja_verify_report";
}

// SAFETY: two `u32` and ten `u64` leave no padding.
unsafe impl Growing for freyja_repair_report {
    const FIRST_SIZE: usize = 88;
    const NAME: &'static str = "freyja_repair_report";
}

const _: () =
    assert!(size_of::<freyja_verify_report>() == 112 && size_of::<freyja_repair_report>() == 88);

// The store's numbers are those of the header.
const _: () = {
    use FindingKind::*;
    assert!(DamagedRecord as u32 == FREYJA_FOUND_DAMAGED_RECORD as u32);
    assert!(DamagedHeader as u32 == FREYJA_FOUND_DAMAGED_HEADER as u32);
    assert!(UnusableFile as u32 == FREYJA_FOUND_UNUSABLE_FILE as u32);
    assert!(OtherStore as u32 == FREYJA_FOUND_OTHER_STORE as u32);
    assert!(RepeatedSegment as u32 == FREYJA_FOUND_REPEATED_SEGMENT as u32);
    assert!(NotAFile as u32 == FREYJA_FOUND_NOT_A_FILE as u32);
    assert!(MissingRecords as u32 == FREYJA_FOUND_MISSING_RECORDS as u32);
    assert!(WrongFooter as u32 == FREYJA_FOUND_WRONG_FOOTER as u32);
    assert!(DamagedHints as u32 == FREYJA_FOUND_DAMAGED_HINTS as u32);
    assert!(DamagedImage as u32 == FREYJA_FOUND_DAMAGED_IMAGE as u32);
    assert!(WrongImage as u32 == FREYJA_FOUND_WRONG_IMAGE as u32);
    assert!(TornTail as u32 == FREYJA_FOUND_TORN_TAIL as u32);
    assert!(UnfinishedFile as u32 == FREYJA_FOUND_UNFINISHED_FILE as u32);
    assert!(UnusedImage as u32 == FREYJA_FOUND_UNUSED_IMAGE as u32);
    assert!(OlderVersion as u32 == FREYJA_FOUND_OLDER_VERSION as u32);
    assert!(Severity::Note as u32 == FREYJA_NOTE as u32);
    assert!(Severity::Damage as u32 == FREYJA_DAMAGE as u32);
    assert!(Severity::Loss as u32 == FREYJA_LOSS as u32);
};

impl From<&VerifyReport> for freyja_verify_report {
    fn from(found: &VerifyReport) -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            reserved: 0,
            segments: found.segments,
            bytes: found.bytes,
            records: found.records,
            keys: found.keys,
            lost_keys: found.lost_keys,
            lost_records: found.lost_records,
            unidentified_records: found.unidentified_records,
            keys_in_doubt: found.keys_in_doubt,
            torn_bytes: found.torn_bytes,
            images: found.images,
            findings: found.findings,
            damages: found.damages,
            losses: found.losses,
        }
    }
}

impl From<&RepairReport> for freyja_repair_report {
    fn from(report: &RepairReport) -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            reserved: 0,
            keys_saved: report.keys_saved,
            bytes_saved: report.bytes_saved,
            older_versions: report.older_versions,
            keys_left_out: report.keys_left_out,
            keys_expired: report.keys_expired,
            keys_in_doubt: report.found.keys_in_doubt,
            lost_records: report.found.lost_records,
            unidentified_records: report.found.unidentified_records,
            damages: report.found.damages,
            losses: report.found.losses,
        }
    }
}

/// A caller's function and what it gets along with each finding.
struct Callback {
    function: freyja_finding_fn,
    user: *mut c_void,
}

impl Callback {
    fn call(&self, finding: &Finding) {
        let Some(function) = self.function else {
            return;
        };
        let file = terminated(finding.path.as_os_str().as_encoded_bytes());
        let message = terminated(finding.message.as_bytes());
        let key = finding.key.as_deref();
        let finding = freyja_finding {
            struct_size: size_of::<freyja_finding>() as u32,
            kind: finding.kind as u32,
            severity: finding.severity as u32,
            reserved: 0,
            offset: finding.offset,
            length: finding.length,
            first_sequence: finding.first_sequence,
            last_sequence: finding.last_sequence,
            file: file.as_ptr(),
            message: message.as_ptr(),
            key: key.map_or(std::ptr::null(), |key| key.as_ptr().cast()),
            key_len: key.map_or(0, <[u8]>::len),
        };
        // SAFETY: the caller passed a function of this type; what the finding points to lives until it returns.
        unsafe { function(&raw const finding, self.user) };
    }
}

/// `bytes` as a C string; without what follows a NUL, of which a path or a message has none.
fn terminated(bytes: &[u8]) -> CString {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    CString::new(text).unwrap_or_default()
}

/// Reads every byte of the store in the directory `path` and tells everything that is not as it was written, and
/// what a crash left. Changes nothing. The store must not be open for writing, here or elsewhere. Takes memory for all keys
/// with some 20 bytes each, twice if there is an image of the index.
///
/// @param path         path of the directory, ended by NUL.
/// @param each         called with each finding; may be NULL.
/// @param user         passed to `each`.
/// @param[out] out     what it amounts to, written with FREYJA_OK and with FREYJA_CORRUPT; may be NULL.
/// @param struct_size  sizeof(freyja_verify_report).
/// @param[out] err     details of a failure, or of the first damage; may be NULL.
/// @return FREYJA_OK if nothing is damaged; FREYJA_CORRUPT if something is; FREYJA_NOT_FOUND if there is no store; FREYJA_BUSY
///         if it is open for writing; FREYJA_VERSION, FREYJA_INVALID, FREYJA_MEMORY; an errno, if the disk fails to
///         read: copy the files as far as they can be read, and verify the copy.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_verify(
    path: *const c_char,
    each: freyja_finding_fn,
    user: *mut c_void,
    out: *mut freyja_verify_report,
    struct_size: usize,
    err: *mut freyja_error,
) -> c_int {
    let outcome = guard::run(|| {
        // SAFETY: callers pass NULL or valid pointers (header, convention 3).
        let (path, out) = unsafe { (arguments::path(path)?, Place::optional(out, struct_size)?) };
        let found = verify(
            &path,
            &Callback {
                function: each,
                user,
            },
        );
        let (answer, damage) = match found {
            Ok(report) => ((&report).into(), report.first_damage),
            // So that the answer has been written whenever this status is given.
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let mut answer = freyja_verify_report::from(&VerifyReport::default());
                (answer.findings, answer.damages, answer.losses) = (1, 1, 1);
                (answer, Some(error))
            }
            Err(error) => return Err(error),
        };
        if let Some(out) = out {
            out.set(&answer);
        }
        damage.map_or(Ok(FREYJA_OK), Err)
    });
    answer(outcome, err)
}

fn verify(path: &Path, callback: &Callback) -> Result<VerifyReport> {
    store::verify(path, &mut |finding| callback.call(finding))
}

/// Saves what can be saved of the store in the directory `path` in a new store in `destination`. The original is read
/// as by freyja_verify, and not changed.
///
/// Of each key the newest value is saved, if it is intact. Keys of which it is known to be damaged are left out; each is
/// named by a finding. Deleted keys stay deleted. The new store can be opened when this has returned FREYJA_OK; what an
/// interrupted repair leaves is refused by freyja_open, and is to be removed.
///
/// @param path         path of the directory, ended by NUL.
/// @param destination  path of a directory that does not exist or is empty, ended by NUL.
/// @param flags        FREYJA_REPAIR_OLDER_VERSIONS or 0.
/// @param each         called with each finding; may be NULL.
/// @param user         passed to `each`.
/// @param[out] out     what it amounts to; may be NULL.
/// @param struct_size  sizeof(freyja_repair_report).
/// @param[out] err     details of a failure, written only then; may be NULL.
/// @return FREYJA_OK if the new store is complete: look into `out` for what is lost; FREYJA_EXISTS if there is something in
///         `destination`; otherwise as freyja_verify, and what writing can answer.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn freyja_repair(
    path: *const c_char,
    destination: *const c_char,
    flags: u32,
    each: freyja_finding_fn,
    user: *mut c_void,
    out: *mut freyja_repair_report,
    struct_size: usize,
    err: *mut freyja_error,
) -> c_int {
    let outcome = guard::run(|| {
        // SAFETY: callers pass NULL or valid pointers (header, convention 3).
        let (path, destination, out) = unsafe {
            (
                arguments::path(path)?,
                arguments::path(destination)?,
                Place::optional(out, struct_size)?,
            )
        };
        if flags & !(FREYJA_REPAIR_OLDER_VERSIONS as u32) != 0 {
            let message = format!("the flags {flags:#x} have no meaning");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let options = Salvage {
            older_versions: flags & FREYJA_REPAIR_OLDER_VERSIONS as u32 != 0,
        };
        let callback = Callback {
            function: each,
            user,
        };
        let mut listener = |finding: &Finding| callback.call(finding);
        let report = store::repair(&path, &destination, &options, &mut listener)?;
        if let Some(out) = out {
            out.set(&freyja_repair_report::from(&report));
        }
        Ok(FREYJA_OK)
    });
    answer(outcome, err)
}

fn answer(outcome: Result<super::status::freyja_status>, err: *mut freyja_error) -> c_int {
    match outcome {
        Ok(status) => status as c_int,
        // SAFETY: callers pass NULL or a valid pointer (header, convention 3).
        Err(error) => report(&error, unsafe { Output::optional(err) }),
    }
}
