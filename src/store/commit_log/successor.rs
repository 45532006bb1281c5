//! The segments that follow the active one, made ready before a put needs them, so that the put does not wait for the disk.
//!
//! A segment's header says with which sequence number it begins, and is durable before any record goes into the segment. So
//! where the one before it is to end is decided beforehand: behind as many records as will probably fit into it. If it is
//! full before that, or a batch goes beyond, all successors are given up, and the segment is made when it is needed. The same holds
//! where the file system reserves no space: there the active segment ends only when there is room for more, or its footer might
//! not find any. A successor's file has the name of one that is being created until the log comes to it; a sync makes the final
//! name durable before it says of any record in the segment that it is. What compaction writes meanwhile has a higher id, and
//! lists the successors, lest they be taken for replaced.
//!
//! A sync takes half a millisecond, but beside others now and then some hundred. So where puts come quickly and things come out as
//! planned, there are as many successors as puts would fill in most of a second.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use super::pages::Wanted;
use super::{CommitLog, OpenSegment, Place, Tail};
use crate::error::Result;
use crate::log::SegmentWriter;
use crate::log::footer::FOOTER_LEN;
use crate::log::segment_header::{HEADER_LEN, SegmentHeader};
use crate::log::writer::{self, Growth};

/// When one part in so many of a segment is used, it shows how long records are, and the next one is made.
const ENOUGH: u64 = 8;

/// Together the successors have room for no more bytes than this, unless it is one alone.
const MOST_BYTES: u64 = 32 << 20;

/// There are no more than this.
const MOST: usize = 8;

/// The segments that follow the active one, as far as they have been made.
pub struct Successors {
    /// They are there, durable, but under their temporary names. Where one ends, the next begins.
    ready: VecDeque<SegmentWriter>,
    next: Next,
    /// How many are worth making: the more of them have come out as planned, the more.
    worth: usize,
    /// Their files are to be removed, by who makes the next.
    given_up: Vec<SegmentWriter>,
}

impl Default for Successors {
    fn default() -> Self {
        Self {
            ready: VecDeque::new(),
            next: Next::None,
            worth: 1,
            given_up: Vec::new(),
        }
    }
}

/// How far the one behind those that are ready is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Nobody has asked for it.
    None,
    /// It has been asked for.
    Wanted,
    /// It is being made, under this id.
    BeingMade(u64),
    /// It could not be made.
    GivenUp,
}

impl Successors {
    /// Their ids, in ascending order.
    pub fn ids(&self) -> Vec<u64> {
        let being_made = match self.next {
            Next::BeingMade(id) => Some(id),
            Next::None | Next::Wanted | Next::GivenUp => None,
        };
        let ready = self.ready.iter().map(|it| it.segment().id());
        ready.chain(being_made).collect()
    }

    /// Gives all of them up, until they are asked for again.
    pub fn give_up(&mut self) {
        self.given_up.extend(self.ready.drain(..));
        (self.next, self.worth) = (Next::None, 1);
    }

    /// Whether the log comes to the first of them with the record `next_sequence`.
    #[inline]
    pub fn is_due(&self, next_sequence: u64) -> bool {
        let first = self.ready.front();
        first.is_some_and(|it| base_of(it) == next_sequence)
    }

    /// What writes those that are ready, in their order.
    pub fn writers(&mut self) -> impl Iterator<Item = &mut SegmentWriter> {
        self.ready.iter_mut()
    }

    /// What is to be made ready of the first of them, with large pages or without.
    pub fn wanted(&self, large: bool) -> Option<Wanted> {
        let first = self.ready.front();
        first.and_then(|first| Wanted::beginning(first, large))
    }

    /// Takes the first, to which the log has come.
    fn take_first(&mut self) -> Option<SegmentWriter> {
        self.worth = (self.worth * 2).min(MOST);
        if self.next == Next::GivenUp {
            self.next = Next::None;
        }
        self.ready.pop_front()
    }
}

impl Tail {
    /// Where the last of the segments is to end: the sequence number that the next successor begins with. `None` if too little is
    /// left of it for another append like the last.
    fn end_of_last(&self) -> Option<u64> {
        let active = &self.active.as_ref()?.writer;
        let records = active.totals().records;
        let each = (active.end() - HEADER_LEN as u64).div_ceil(records.max(1));
        let (last, begin) = match self.successors.ready.back() {
            Some(last) => (last, base_of(last)),
            None => (active, self.next_sequence),
        };
        let each = each.max(1);
        let room = (last.size() - FOOTER_LEN as u64).saturating_sub(last.end());
        // Records that are a little longer than those so far have to fit as well.
        let more = room / each * 7 / 8;
        // Batches of one length, one after the other, come to their end there.
        let more = more - more % self.last_count.max(1);
        (more > 0).then_some(begin + more)
    }

    /// Whether a successor should be asked for: there are too few, and enough of the active segment is used.
    #[inline]
    pub fn wants_successor(&self) -> bool {
        let Successors { ready, next, .. } = &self.successors;
        *next == Next::None
            && self.active.as_ref().is_some_and(|active| {
                let size = active.writer.size();
                active.writer.end() >= size / ENOUGH && ready.len() < self.enough_successors(size)
            })
    }

    /// How many successors there should be of a segment of `size` bytes.
    fn enough_successors(&self, size: u64) -> usize {
        match self.pages.puts_are_quick() {
            true => self
                .successors
                .worth
                .min((MOST_BYTES / size) as usize)
                .max(1),
            false => 1,
        }
    }
}

impl CommitLog {
    /// Has `ask` called, which should be quick, when it is time to call [`Self::prepare_successor`].
    pub fn ask_for_successor(&self, ask: impl Fn() + Send + Sync + 'static) {
        let _ = self.ask_for_successor.set(Box::new(ask));
    }

    /// Takes note that a successor is wanted; answers whether it is to be asked for.
    #[cold]
    pub(super) fn want_successor(&self, tail: &mut Tail) -> bool {
        let active = tail.active.as_ref();
        let is_possible = active.is_some_and(|active| active.writer.reserves_space());
        tail.successors.next = match is_possible {
            true => Next::Wanted,
            false => Next::GivenUp,
        };
        self.wants_successor.store(is_possible, Ordering::Relaxed);
        is_possible
    }

    /// Makes the next successor, if it is time for that, and removes what has been given up. Should that fail, a put will make
    /// it, and tell of the failure if it comes again.
    pub fn prepare_successor(&self) {
        let _making = self.making.lock();
        // Not without need: puts hold the lock most of the time, and who waits for that may wait long for a processor.
        if !self.wants_successor.swap(false, Ordering::Relaxed) {
            return;
        }
        self.remove_given_up();
        let Some((header, size, growth)) = self.begin_successor() else {
            return;
        };
        let id = header.segment_id;
        let prepared = self.make_successor(&header, size, growth);
        let mut tail = self.tail.lock();
        let is_expected = tail.successors.next == Next::BeingMade(id);
        if is_expected {
            tail.successors.next = Next::GivenUp;
        }
        let unneeded = match prepared {
            Ok(prepared) if is_expected && tail.next_sequence <= base_of(&prepared) => {
                tail.successors.ready.push_back(prepared);
                tail.successors.next = Next::None;
                None
            }
            unneeded => unneeded.ok(),
        };
        drop(tail);
        self.remove_successors(unneeded);
    }

    fn begin_successor(&self) -> Option<(SegmentHeader, u64, Growth)> {
        let salt = self.salt();
        let size = self.usual_size();
        let mut tail = self.open_tail(1).ok()?;
        if tail.successors.next != Next::Wanted {
            return None;
        }
        tail.successors.next = Next::GivenUp;
        let (salt, base_sequence) = (salt.ok()?, tail.end_of_last()?);
        let mut header = self.next_header(&mut tail, salt);
        header.base_sequence = base_sequence;
        header.predecessor_sequence = base_sequence - 1;
        tail.successors.next = Next::BeingMade(header.segment_id);
        Some((header, size, tail.pages.growth(tail.written_bytes)))
    }

    fn make_successor(
        &self,
        header: &SegmentHeader,
        size: u64,
        growth: Growth,
    ) -> Result<SegmentWriter> {
        let place = &self.place;
        let (vfs, read_mode) = (&*place.vfs, place.options.read_mode);
        let directory = &place.directory;
        let (writer, segment) =
            SegmentWriter::create_unnamed(vfs, directory, header, size, growth, read_mode)?;
        // Closing the file of one that is given up takes a while, too, and nobody should wait for that.
        segment.leave_to(self.segments.disposal());
        self.syncs.fetch_add(1, Ordering::Relaxed);
        sabotage!(SuccessorUnsynced, return Ok(writer));
        if let Err(error) = segment.sync() {
            self.remove_successors([writer]);
            return Err(error);
        }
        Ok(writer)
    }

    /// The first successor, if records that take `len` bytes are to begin with it, with its final name, which is not durable yet.
    /// Else, and after an error, all are given up: what is made instead has a higher id and follows none of them.
    pub(super) fn take_successor(&self, tail: &mut Tail, len: u64) -> Result<Option<OpenSegment>> {
        let first = match tail.successors.is_due(tail.next_sequence) {
            true => tail.successors.take_first(),
            false => None,
        };
        let prepared = match first {
            Some(prepared) if prepared.fits(len) => prepared,
            unfit => {
                tail.successors.given_up.extend(unfit);
                self.give_up_successors(tail);
                return Ok(None);
            }
        };
        let place = &self.place;
        let id = prepared.segment().id();
        if let Err(error) = writer::rename_to_final(&*place.vfs, &place.directory, id) {
            self.give_up_successors(tail);
            self.remove_successors([prepared]);
            return Err(self.stop_unless_short(error));
        }
        self.begin_segment(prepared, false).map(Some)
    }

    /// Gives all of them up; whoever makes the next removes their files.
    pub(super) fn give_up_successors(&self, tail: &mut Tail) {
        tail.successors.give_up();
        self.wants_successor.store(true, Ordering::Relaxed);
    }

    /// Removes the files of successors that have been given up.
    pub(super) fn remove_given_up(&self) {
        let given_up = std::mem::take(&mut self.tail.lock().successors.given_up);
        self.remove_successors(given_up);
    }

    fn remove_successors(&self, unneeded: impl IntoIterator<Item = SegmentWriter>) {
        for prepared in unneeded {
            let Place { vfs, directory, .. } = &self.place;
            writer::remove_unnamed(&**vfs, directory, prepared.segment().id());
        }
    }
}

/// The sequence number that a segment begins with.
fn base_of(prepared: &SegmentWriter) -> u64 {
    prepared.segment().header().base_sequence
}
