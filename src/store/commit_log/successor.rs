//! The segment that follows the active one, made ready before a put needs it, so that the put does not wait for the disk.
//!
//! A segment's header says with which sequence number it begins, and is durable before any record goes into the segment. So
//! where the active segment is to end is decided beforehand: behind as many more records as will probably fit into it. If it is
//! full before that, or a batch goes beyond, the successor is given up, and the segment is made when it is needed. The same holds
//! where the file system reserves no space: there the active segment ends only when there is room for more, or its footer might
//! not find any. The successor's file has the name of one that is being created until the log comes to it; a sync makes the final
//! name durable before it says of any record in the segment that it is. What compaction writes meanwhile has a higher id, and
//! lists the successor, lest it be taken for replaced.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use super::{CommitLog, OpenSegment, Place, Tail};
use crate::error::Result;
use crate::log::SegmentWriter;
use crate::log::footer::FOOTER_LEN;
use crate::log::segment_header::{HEADER_LEN, SegmentHeader};
use crate::log::writer;

/// When one part in so many of a segment is used, it shows how long records are, and the next one is made: not later, as a sync
/// beside merges may take as long as puts take to fill a small segment.
const ENOUGH: u64 = 8;

/// Wakes whoever calls [`CommitLog::prepare_successor`].
pub type Ask = OnceLock<Box<dyn Fn() + Send + Sync>>;

/// How far the successor of the active segment is.
#[derive(Default)]
pub enum Successor {
    /// There is none, and nobody has asked for one.
    #[default]
    None,
    /// It has been asked for.
    Wanted,
    /// It is being made, under this id.
    BeingMade(u64),
    /// It is there, durable, but under its temporary name.
    Ready(Box<SegmentWriter>),
    /// There will be none.
    GivenUp,
}

impl Successor {
    /// Its id, if it has one.
    pub fn id(&self) -> Option<u64> {
        match self {
            Self::BeingMade(id) => Some(*id),
            Self::Ready(prepared) => Some(prepared.segment().id()),
            Self::None | Self::Wanted | Self::GivenUp => None,
        }
    }

    /// Gives it up, until it is asked for again. What there is of it is to be [removed](CommitLog::remove_successor), after the
    /// lock is released, as that may take a while.
    pub fn forget(&mut self) -> Option<Box<SegmentWriter>> {
        match std::mem::take(self) {
            Self::Ready(prepared) => Some(prepared),
            _ => None,
        }
    }

    /// Whether the log comes to it with the record `next_sequence`.
    #[inline]
    pub fn is_due(&self, next_sequence: u64) -> bool {
        matches!(self, Self::Ready(it) if base_of(it) == next_sequence)
    }
}

impl Tail {
    /// Where the active segment is to end: the sequence number that its successor begins with. `None` if too little is left
    /// of it for another append like the last.
    fn end_of_active(&self) -> Option<u64> {
        let active = self.active.as_ref()?;
        let end = active.writer.end();
        let records = active.writer.totals().records;
        let each = (end - HEADER_LEN as u64).div_ceil(records.max(1)).max(1);
        let room = (active.writer.size() - FOOTER_LEN as u64).saturating_sub(end);
        // Records that are a little longer than those so far have to fit as well.
        let more = room / each * 7 / 8;
        // Batches of one length, one after the other, come to their end there.
        let more = more - more % self.last_count.max(1);
        (more > 0).then_some(self.next_sequence + more)
    }

    /// Whether a successor should be asked for: enough of the active segment is used.
    #[inline]
    pub fn wants_successor(&self) -> bool {
        matches!(self.successor, Successor::None)
            && self
                .active
                .as_ref()
                .is_some_and(|active| active.writer.end() >= active.writer.size() / ENOUGH)
    }
}

impl CommitLog {
    /// Has `ask` called, which should be quick, when it is time to call [`Self::prepare_successor`].
    pub fn ask_for_successor(&self, ask: impl Fn() + Send + Sync + 'static) {
        let _ = self.ask.set(Box::new(ask));
    }

    /// Takes note that a successor is wanted, and tells who makes it.
    #[cold]
    pub(super) fn want_successor(&self, tail: &mut Tail) {
        let active = tail.active.as_ref();
        if !active.is_some_and(|active| active.writer.reserves_space()) {
            tail.successor = Successor::GivenUp;
            return;
        }
        tail.successor = Successor::Wanted;
        if let Some(ask) = self.ask.get() {
            ask();
        }
    }

    /// Makes the segment that follows the active one, if it is time for that. Should that fail, a put will make it, and tell of
    /// the failure if it comes again.
    pub fn prepare_successor(&self) {
        let _making = self.making.lock();
        let Some((header, size)) = self.begin_successor() else {
            return;
        };
        let id = header.segment_id;
        let prepared = self.make_successor(&header, size);
        let mut tail = self.tail.lock();
        let is_expected = matches!(tail.successor, Successor::BeingMade(it) if it == id);
        let unneeded = match prepared {
            Ok(prepared) if is_expected && tail.next_sequence <= base_of(&prepared) => {
                tail.successor = Successor::Ready(Box::new(prepared));
                None
            }
            Ok(prepared) => Some(prepared),
            Err(_) => None,
        };
        if is_expected && !matches!(tail.successor, Successor::Ready(_)) {
            tail.successor = Successor::GivenUp;
        }
        drop(tail);
        self.remove_successor(unneeded.as_ref());
    }

    fn begin_successor(&self) -> Option<(SegmentHeader, u64)> {
        let is_wanted = |tail: &Tail| matches!(tail.successor, Successor::Wanted);
        if !is_wanted(&self.tail.lock()) {
            return None;
        }
        let salt = self.salt().ok()?;
        let mut tail = self.open_tail(1).ok()?;
        if !is_wanted(&tail) {
            return None;
        }
        let Some(base_sequence) = tail.end_of_active() else {
            tail.successor = Successor::GivenUp;
            return None;
        };
        let mut header = self.next_header(&mut tail, salt);
        header.base_sequence = base_sequence;
        header.predecessor_sequence = base_sequence - 1;
        tail.successor = Successor::BeingMade(header.segment_id);
        Some((header, self.usual_size()))
    }

    fn make_successor(&self, header: &SegmentHeader, size: u64) -> Result<SegmentWriter> {
        let place = &self.place;
        let (vfs, read_mode) = (&*place.vfs, place.options.read_mode);
        let (writer, segment) =
            SegmentWriter::create_unnamed(vfs, &place.directory, header, size, read_mode)?;
        // Closing the file of one that is given up takes a while, too, and nobody should wait for that.
        segment.leave_to(self.segments.disposal());
        self.syncs.fetch_add(1, Ordering::Relaxed);
        sabotage!(SuccessorUnsynced, return Ok(writer));
        if let Err(error) = segment.sync() {
            self.remove_successor(Some(&writer));
            return Err(error);
        }
        Ok(writer)
    }

    /// The successor, if records that take `len` bytes are to begin with it, with its final name, which is not durable yet. Any
    /// other is given up.
    pub(super) fn take_successor(&self, tail: &mut Tail, len: u64) -> Result<Option<OpenSegment>> {
        let is_due = tail.successor.is_due(tail.next_sequence);
        let Some(prepared) = tail.successor.forget() else {
            return Ok(None);
        };
        if !is_due || !prepared.fits(len) {
            self.remove_successor(Some(&prepared));
            return Ok(None);
        }
        let place = &self.place;
        let id = prepared.segment().id();
        if let Err(error) = writer::rename_to_final(&*place.vfs, &place.directory, id) {
            self.remove_successor(Some(&prepared));
            return Err(self.stop_unless_short(error));
        }
        self.begin_segment(*prepared, false).map(Some)
    }

    /// Removes the file of a successor that is given up.
    pub(super) fn remove_successor(&self, given_up: Option<&SegmentWriter>) {
        if let Some(prepared) = given_up {
            let Place { vfs, directory, .. } = &self.place;
            writer::remove_unnamed(&**vfs, directory, prepared.segment().id());
        }
    }
}

/// The sequence number that a segment begins with.
fn base_of(prepared: &SegmentWriter) -> u64 {
    prepared.segment().header().base_sequence
}
