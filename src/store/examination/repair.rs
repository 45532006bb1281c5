//! Saving what can be saved of a store, to another place.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::Listener;
use super::report::RepairReport;
use super::salvage::{Salvage, salvage_to};
use super::session::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::store::Store;
use crate::store::open::{self, INCOMPLETE_FILE};
use crate::store::options::{OpenMode, Options, SyncMode};
use crate::vfs::Vfs;
use crate::vfs::real::RealVfs;

/// Saves what can be saved of the store in the directory `path` in a new store in `destination`, which must not exist or
/// be empty. The original is read as by [`verify()`](super::verify()) and not changed; `listener` hears the same findings.
///
/// Of each key the newest version is saved, with its expiry, if it is intact. Keys of which it is known to be damaged are left
/// out, or saved in an older version if `options` ask for it; each is named by a finding. Deleted keys stay deleted. Where nobody can
/// tell whose a damaged record was, [`VerifyReport::keys_in_doubt`](super::VerifyReport::keys_in_doubt) says how many keys
/// it may have been.
///
/// The new store can be opened when this has returned without an error, and not before: what an interrupted repair
/// leaves is refused by an open, and is to be removed.
///
/// # Errors
/// Those of [`verify()`](super::verify()); `Exists` if there is something in `destination`; those of writing.
pub fn repair(
    path: &Path,
    destination: &Path,
    options: &Salvage,
    listener: &mut Listener<'_>,
) -> Result<RepairReport> {
    repair_on(Arc::new(RealVfs), path, destination, options, listener)
}

/// As [`repair()`], on any file system.
pub fn repair_on(
    vfs: Arc<dyn Vfs>,
    path: &Path,
    destination: &Path,
    options: &Salvage,
    listener: &mut Listener<'_>,
) -> Result<RepairReport> {
    let session = Session::begin(&*vfs, path)?;
    let examined = session.examine()?;
    let store = begin(&vfs, destination)?;
    let report = salvage_to(path, &examined, options, listener, &mut |pair| {
        store
            .put_until(pair.key, pair.value, pair.expires_at_ms)
            .map_err(|error| error.context("writing the repaired store"))
    })?;
    session.end()?;
    store.close()?;
    finish(&*vfs, destination)?;
    Ok(report)
}

/// Makes the directory and a store in it that cannot be opened yet.
fn begin(vfs: &Arc<dyn Vfs>, destination: &Path) -> Result<Store> {
    match vfs.create_directory(destination) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Error::io("create directory", destination, &error)),
    }
    let entries = vfs
        .list(destination)
        .map_err(|error| Error::io("list", destination, &error))?;
    if !entries.is_empty() {
        return Err(Error::new(
            ErrorKind::Exists,
            format!(
                "{}: the directory is not empty; name one that does not exist",
                destination.display()
            ),
        ));
    }
    let marker = destination.join(INCOMPLETE_FILE);
    vfs.create_new(&marker)
        .and_then(|file| file.sync())
        .map_err(|error| Error::io("create", &marker, &error))?;
    open::sync_parent(&**vfs, destination)?;
    sync_directory(&**vfs, destination)?;
    let options = Options {
        mode: OpenMode::MustBeNew,
        // Closing makes everything durable, and nothing counts before.
        sync_mode: SyncMode::None,
        background_threads: 0,
        ..Options::default()
    };
    open::open_as_it_is(vfs.clone(), destination, &options)
}

fn finish(vfs: &dyn Vfs, destination: &Path) -> Result<()> {
    let marker = destination.join(INCOMPLETE_FILE);
    vfs.remove(&marker)
        .map_err(|error| Error::io("remove", &marker, &error))?;
    sync_directory(vfs, destination)
}

fn sync_directory(vfs: &dyn Vfs, directory: &Path) -> Result<()> {
    vfs.sync_directory(directory)
        .map_err(|error| Error::io("sync directory", directory, &error))
}
