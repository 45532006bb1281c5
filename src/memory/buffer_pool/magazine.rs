//! The magazine of one thread for one class: the free buffers that the thread gave back last, to be handed out first.
//! Bonwick and Adams, "Magazines and Vmem" (2001).

use super::span_table::SlotReference;

/// Room that a magazine gets when it first needs any, in buffers.
const FIRST_ROOM: usize = 4;

/// Free slots, the one given back last on top.
#[derive(Default)]
pub struct Magazine {
    /// As long as the magazine may ever get; empty until it is used.
    slots: Box<[SlotReference]>,
    length: u32,
    /// Slots that it may hold now.
    room: u32,
    /// The fewest that it held since its last review: so many were not needed.
    lowest: u32,
}

impl Magazine {
    /// Slots in it.
    pub fn length(&self) -> usize {
        self.length as usize
    }

    /// Slots that it may hold now.
    pub fn room(&self) -> usize {
        self.room as usize
    }

    /// Takes the slot that was given back last.
    #[inline]
    pub fn pop(&mut self) -> Option<SlotReference> {
        let length = self.length.checked_sub(1)?;
        self.length = length;
        self.lowest = self.lowest.min(length);
        Some(self.slots[length as usize])
    }

    /// Puts a slot on top if there is room.
    #[inline]
    pub fn push(&mut self, slot: SlotReference) -> bool {
        if self.length >= self.room {
            return false;
        }
        self.slots[self.length as usize] = slot;
        self.length += 1;
        true
    }

    /// The room that it should have next, having proved too small: twice as much, up to `most`.
    pub fn larger_room(&self, most: usize) -> usize {
        (2 * self.room())
            .clamp(FIRST_ROOM, most.max(FIRST_ROOM))
            .min(most)
    }

    /// Makes room for `room` slots of at most `most`; false if there is no memory for them.
    pub fn make_room(&mut self, room: usize, most: usize) -> bool {
        if self.slots.is_empty() {
            let mut slots = Vec::new();
            if slots.try_reserve_exact(most).is_err() {
                return false;
            }
            slots.resize(most, SlotReference::NONE);
            self.slots = slots.into_boxed_slice();
        }
        self.room = room.min(self.slots.len()) as u32;
        true
    }

    /// The free places below half of the room, to be filled from the shelf by [`Magazine::filled`].
    pub fn places_to_fill(&mut self) -> &mut [SlotReference] {
        let (start, end) = (self.length(), self.room().div_ceil(2));
        &mut self.slots[start.min(end)..end]
    }

    /// Notes that the first `count` of [`Magazine::places_to_fill`] hold slots.
    pub fn filled(&mut self, count: usize) {
        self.length += count as u32;
        self.lowest = 0;
    }

    /// Hands the `count` oldest slots to `take`.
    pub fn drop_oldest(&mut self, count: usize, take: impl FnOnce(&[SlotReference])) {
        let length = self.length();
        let count = count.min(length);
        take(&self.slots[..count]);
        self.slots.copy_within(count..length, 0);
        self.length = (length - count) as u32;
        self.lowest = self.lowest.min(self.length);
    }

    /// How many slots were not needed since the last review, which this one ends.
    pub fn review(&mut self) -> usize {
        std::mem::replace(&mut self.lowest, self.length) as usize
    }

    /// Takes room away, of which `room` is left; it is no less than what the magazine holds.
    pub fn shrink_room(&mut self, room: usize) {
        debug_assert!(self.length() <= room && room <= self.room());
        self.room = room as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: usize) -> SlotReference {
        SlotReference::new(number, 0)
    }

    fn magazine(room: usize) -> Magazine {
        let mut magazine = Magazine::default();
        assert!(magazine.make_room(room, 64));
        magazine
    }

    #[test]
    fn what_was_given_back_last_comes_first() {
        let mut magazine = magazine(4);
        for number in 0..4 {
            assert!(magazine.push(slot(number)));
        }
        assert!(!magazine.push(slot(4)));
        for number in (0..4).rev() {
            assert_eq!(magazine.pop(), Some(slot(number)));
        }
        assert_eq!(magazine.pop(), None);
    }

    #[test]
    fn room_doubles_up_to_its_bound() {
        let mut magazine = Magazine::default();
        let mut rooms = Vec::new();
        for _ in 0..6 {
            let room = magazine.larger_room(20);
            assert!(magazine.make_room(room, 20));
            rooms.push(magazine.room());
        }
        assert_eq!(rooms, [4, 8, 16, 20, 20, 20]);
        assert_eq!(Magazine::default().larger_room(2), 2);
    }

    #[test]
    fn the_oldest_go_first_and_the_order_of_the_others_stays() {
        let mut magazine = magazine(8);
        for number in 0..6 {
            assert!(magazine.push(slot(number)));
        }
        let mut gone = Vec::new();
        magazine.drop_oldest(4, |slots| gone.extend_from_slice(slots));
        assert_eq!(gone, [slot(0), slot(1), slot(2), slot(3)]);
        assert_eq!(magazine.pop(), Some(slot(5)));
        assert_eq!(magazine.pop(), Some(slot(4)));
        assert_eq!(magazine.length(), 0);
    }

    #[test]
    fn a_review_tells_how_many_were_never_needed() {
        let mut magazine = magazine(8);
        for number in 0..6 {
            assert!(magazine.push(slot(number)));
        }
        assert_eq!(magazine.review(), 0);
        let (one, two) = (magazine.pop().unwrap(), magazine.pop().unwrap());
        assert!(magazine.push(two) && magazine.push(one));
        assert_eq!(magazine.review(), 4);
        assert_eq!(magazine.review(), 6);
    }
}
