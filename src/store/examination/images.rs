//! Images of the index: whether they are intact and belong to the log.

use std::path::{Path, PathBuf};

use super::Listener;
use super::finding::{Finding, FindingKind, Severity};
use super::report::VerifyReport;
use crate::error::{Error, Result};
use crate::store::image::{self, Image, ImageFault};
use crate::store::recovery::Examined;

/// The image that an open would use.
pub struct Witness {
    /// The image.
    pub image: Image,
    /// Its file.
    pub path: PathBuf,
    /// Up to which sequence number it is a witness of its own: it was made when all these records were intact. 0 if a part
    /// of it is damaged.
    pub covered: u64,
}

/// Looks at the images of the store and answers the one that an open would use.
pub fn look(
    directory: &Path,
    examined: &Examined<'_>,
    report: &mut VerifyReport,
    listener: &mut Listener<'_>,
) -> Result<Option<Witness>> {
    let mut tell = |finding: &Finding| {
        report.add(finding);
        listener(finding);
    };
    let names = examined.images();
    let path_of = |generation| directory.join(image::file_name(generation));
    let newest = names.complete.last().copied();
    let chosen = examined.chosen_image();
    let fault = match &chosen {
        Ok((_, _, fault)) | Err(fault) => *fault,
    };
    if let Some(newest) = newest.filter(|_| fault != ImageFault::None) {
        let (kind, severity) = match fault {
            ImageFault::Damaged => (FindingKind::DamagedImage, Severity::Damage),
            ImageFault::NewerThanLog => (FindingKind::MissingRecords, Severity::Loss),
            _ => (FindingKind::UnusedImage, Severity::Note),
        };
        let message = format!("{}; opening passes the image over", fault.description());
        let finding = Finding::new(kind, severity, &path_of(newest), (0, 0), message);
        tell(&finding);
    }
    for generation in &names.unfinished {
        let path = directory.join(image::new_file_name(*generation));
        tell(&Finding::new(
            FindingKind::UnfinishedFile,
            Severity::Note,
            &path,
            (0, 0),
            "an image of the index whose writing was cut short; it is removed later",
        ));
    }
    let images = names.complete.len() as u64;
    let mut witness = None;
    if let Ok((image, generation, _)) = chosen {
        let path = path_of(generation);
        let mut intact = true;
        for (offset, length) in damaged_shards(&image)? {
            intact = false;
            tell(&Finding::new(
                FindingKind::DamagedImage,
                Severity::Damage,
                &path,
                (offset, length),
                "a part of this image of the index is damaged; nothing is lost, opening rebuilds it from the log",
            ));
        }
        witness = Some(Witness {
            covered: if intact {
                image.directory.covered_sequence
            } else {
                0
            },
            image,
            path,
        });
    }
    report.images = images;
    Ok(witness)
}

fn damaged_shards(image: &Image) -> Result<Vec<(u64, u64)>> {
    let mut damaged = Vec::new();
    let mut bytes = Vec::new();
    for shard in &image.directory.shards {
        let place = (shard.offset, shard.length);
        let length = usize::try_from(shard.length).unwrap_or(usize::MAX);
        let fits = shard.offset.checked_add(shard.length) <= Some(image.length);
        let intact = fits && {
            bytes.clear();
            bytes
                .try_reserve_exact(length)
                .map_err(|_| Error::memory("a shard of the index image"))?;
            bytes.resize(length, 0);
            let read = image.file.read_exact_at(&mut bytes, shard.offset);
            read.is_ok() && crc32fast::hash(&bytes) == shard.checksum
        };
        if !intact {
            damaged.push(place);
        }
    }
    Ok(damaged)
}
