//! Reading a store for those who examine it: nothing is changed, and the log is read whatever images there are.

use std::path::PathBuf;
use std::sync::Arc;

use super::fill::Filling;
use super::survey::{self, Survey};
use super::{Recovery, RecoveryReport, SegmentSet};
use crate::error::Result;
use crate::index::{Index, IndexOptions};
use crate::store::image::{self, Image, ImageFault, Names};

/// An index and the segments that its locations lie in.
pub struct View {
    /// Every key whose newest record is a put, or is damaged and can be told.
    pub index: Index,
    /// All segments that count.
    pub segments: Arc<SegmentSet>,
}

/// A store as it is found.
pub struct Examined<'r> {
    recovery: Recovery<'r>,
    index_options: &'r IndexOptions,
    /// Which segments count, and how far.
    pub survey: Survey,
    /// What reading the whole log shows. Where a segment has hints, these name the keys of its damaged records too.
    pub log: View,
}

impl<'r> Recovery<'r> {
    /// Reads the log and nothing else. The recovery must be one for reading only.
    pub fn examine(self, index_options: &'r IndexOptions) -> Result<Examined<'r>> {
        let mut report = RecoveryReport::default();
        let survey = survey::survey(self.vfs, &self.files, &mut report)?;
        let log = self.view(&survey, None, index_options, &mut report)?;
        Ok(Examined {
            recovery: self,
            index_options,
            survey,
            log,
        })
    }

    fn view(
        &self,
        survey: &Survey,
        image: Option<Image>,
        index_options: &IndexOptions,
        report: &mut RecoveryReport,
    ) -> Result<View> {
        let segments = Arc::new(SegmentSet::new());
        let filling = Filling {
            vfs: self.vfs,
            options: self.options,
            survey,
            waiting: &[],
            segments: &segments,
        };
        let index = filling.fill(image, index_options, report)?;
        Ok(View { index, segments })
    }
}

impl Examined<'_> {
    /// Files whose creation was cut short.
    pub fn unborn(&self) -> &[PathBuf] {
        &self.recovery.unborn
    }

    /// Entries of the directory that have a segment's name and are no regular files.
    pub fn strange(&self) -> &[PathBuf] {
        &self.recovery.strange
    }

    /// The images in the directory.
    pub fn images(&self) -> &Names {
        &self.recovery.images
    }

    /// The image that an open would use, with its generation, or why it would not use the newest.
    pub fn chosen_image(&self) -> std::result::Result<(Image, u64, ImageFault), ImageFault> {
        let recovery = &self.recovery;
        image::choose(
            recovery.vfs,
            recovery.directory,
            &recovery.images,
            &self.survey,
            &Arc::default(),
        )
    }

    /// What an open would make of `image` and the log behind it.
    pub fn view_of(&self, image: Image) -> Result<View> {
        let mut report = RecoveryReport::default();
        let options = self.index_options;
        let view = self
            .recovery
            .view(&self.survey, Some(image), options, &mut report)?;
        view.index.make_all_present(|| true)?;
        Ok(view)
    }
}
