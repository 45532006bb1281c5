//! Which sizes a pool hands out, and how each is laid out in spans.

use crate::error::{Error, ErrorKind, Result};

/// Bytes of a unit, the granule in which the pool's address range is divided among classes.
pub const UNIT: usize = 64 * 1024;

/// Smallest size of a class in bytes: a cache line, so that two threads' buffers never share one.
pub const SMALLEST: usize = 64;

/// Largest size of a class in bytes.
pub const LARGEST: usize = 1024 * 1024;

/// Most classes that a pool can have.
pub const MOST_CLASSES: usize = 64;

/// Sizes of classes are multiples of this, so that every buffer begins at one.
pub const SIZE_STEP: usize = 16;

/// Most slots that a span of any class has.
pub const MOST_SLOTS: usize = UNIT / SMALLEST;

/// Most units of a span.
const MOST_UNITS: usize = 64;

/// Steps of length for which a pool notes its smallest class: up to 64 bytes, then four for each doubling.
const STEPS: usize = 1 + 4 * (LARGEST.ilog2() - SMALLEST.ilog2()) as usize;

/// Most buffers that a magazine holds, and the bytes of them up to which it may hold more than two.
const MOST_IN_MAGAZINE: usize = 128;
const MAGAZINE_BYTES: usize = 128 * 1024;

/// A number is divided by a size by multiplying it with 2^42 / size. Exact for numbers below 2^22, the length of the
/// longest span, and divisors up to 2^20: Granlund and Montgomery, "Division by invariant integers" (1994).
const RECIPROCAL_SHIFT: u32 = 42;

/// The geometry of one class.
#[derive(Clone, Copy, Debug)]
pub struct SizeClass {
    /// Bytes of a slot, a multiple of [`SIZE_STEP`].
    pub size: usize,
    /// Units of a span.
    pub units: usize,
    /// Slots of a span.
    pub slots: usize,
    /// Buffers that the magazine of a thread may hold at most.
    pub most_in_magazine: usize,
    reciprocal: u64,
}

impl SizeClass {
    /// Units are added to a span until at most 1/16 of it is left over behind the last slot.
    const fn new(size: usize) -> Self {
        let mut units = size.div_ceil(UNIT);
        while (units * UNIT) % size > units * UNIT / 16 && units < MOST_UNITS {
            units += 1;
        }
        let affordable = MAGAZINE_BYTES / size;
        Self {
            size,
            units,
            slots: units * UNIT / size,
            most_in_magazine: if affordable < 2 {
                2
            } else if affordable > MOST_IN_MAGAZINE {
                MOST_IN_MAGAZINE
            } else {
                affordable
            },
            reciprocal: (1u64 << RECIPROCAL_SHIFT).div_ceil(size as u64),
        }
    }

    /// The slot that begins `offset` bytes into a span, `None` if none does.
    #[inline]
    pub fn slot_at(&self, offset: usize) -> Option<usize> {
        debug_assert!(offset < MOST_UNITS * UNIT);
        let slot = ((offset as u64 * self.reciprocal) >> RECIPROCAL_SHIFT) as usize;
        (slot * self.size == offset && slot < self.slots).then_some(slot)
    }
}

/// The classes of one pool, by rising size.
pub struct Classes {
    classes: [SizeClass; MOST_CLASSES],
    count: usize,
    largest: usize,
    /// For each step the first class that holds the shortest length of it.
    first: [u8; STEPS],
}

impl Classes {
    /// 64 bytes, then four classes for each doubling up to 1 MiB: no longer buffer wastes more than a fifth.
    pub fn standard() -> Self {
        let mut sizes = [SMALLEST; STEPS];
        for (step, size) in sizes.iter_mut().enumerate().skip(1) {
            let base = SMALLEST << ((step - 1) / 4);
            *size = base + base / 4 * ((step - 1) % 4 + 1);
        }
        Self::of_checked(&sizes)
    }

    /// Classes of these sizes in bytes. [`ErrorKind::Invalid`] unless there are 1 to [`MOST_CLASSES`], each larger than
    /// the one before, a multiple of [`SIZE_STEP`], and from [`SMALLEST`] to [`LARGEST`].
    pub fn new(sizes: &[usize]) -> Result<Self> {
        let invalid = |message: String| Err(Error::new(ErrorKind::Invalid, message));
        if sizes.is_empty() || sizes.len() > MOST_CLASSES {
            return invalid(format!(
                "{} size classes; give 1 to {MOST_CLASSES}",
                sizes.len()
            ));
        }
        let mut before = 0;
        for &size in sizes {
            if !(SMALLEST..=LARGEST).contains(&size) || !size.is_multiple_of(SIZE_STEP) {
                return invalid(format!(
                    "a size class of {size} bytes; give multiples of {SIZE_STEP} from {SMALLEST} to {LARGEST}"
                ));
            }
            if size <= before {
                return invalid(format!(
                    "a size class of {size} bytes behind one of {before}; give rising sizes"
                ));
            }
            before = size;
        }
        Ok(Self::of_checked(sizes))
    }

    fn of_checked(sizes: &[usize]) -> Self {
        let mut classes = [SizeClass::new(SMALLEST); MOST_CLASSES];
        for (class, size) in classes.iter_mut().zip(sizes) {
            *class = SizeClass::new(*size);
        }
        let mut first = [0; STEPS];
        for (step, first) in first.iter_mut().enumerate() {
            let shortest = shortest_of(step);
            *first = sizes.iter().take_while(|size| **size < shortest).count() as u8;
        }
        Self {
            classes,
            count: sizes.len(),
            largest: sizes[sizes.len() - 1],
            first,
        }
    }

    /// All classes, by rising size.
    pub fn all(&self) -> &[SizeClass] {
        &self.classes[..self.count]
    }

    /// A class by its number.
    #[inline]
    pub fn get(&self, class: usize) -> &SizeClass {
        &self.classes[class]
    }

    /// Bytes of the largest slots that are shorter than `length`, `None` if none are.
    pub fn size_below(&self, length: usize) -> Option<usize> {
        let shorter = self.all().iter().rev().map(|class| class.size);
        shorter.into_iter().find(|&size| size < length)
    }

    /// The smallest class whose slots hold `length` bytes, `None` if none does.
    #[inline]
    pub fn class_for(&self, length: usize) -> Option<usize> {
        if length > self.largest {
            return None;
        }
        let mut class = usize::from(self.first[step_of(length)]);
        // Ends at the largest class at the latest; with the standard classes it ends at once.
        while self.classes[class].size < length {
            class += 1;
        }
        Some(class)
    }
}

#[inline]
fn step_of(length: usize) -> usize {
    if length <= SMALLEST {
        return 0;
    }
    let doubling = (length - 1).ilog2();
    let quarter = (length - 1 - (1 << doubling)) >> (doubling - 2);
    1 + 4 * (doubling - SMALLEST.ilog2()) as usize + quarter
}

/// The shortest length of a step.
fn shortest_of(step: usize) -> usize {
    let Some(above) = step.checked_sub(1) else {
        return 0;
    };
    let base = SMALLEST << (above / 4);
    base + base / 4 * (above % 4) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETS: [&[usize]; 4] = [
        &[LARGEST],
        &[1024, 4096, 16384, 65536],
        &[64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240],
        &[64, 600_000, 700_016, 1_000_000],
    ];

    fn assert_smallest(classes: &Classes, length: usize) {
        let class = classes.class_for(length).unwrap();
        assert!(classes.get(class).size >= length, "length {length}");
        assert!(
            class == 0 || classes.get(class - 1).size < length,
            "length {length}"
        );
    }

    #[test]
    fn every_length_gets_the_smallest_class_that_holds_it() {
        let step = if cfg!(miri) { 4099 } else { 1 };
        let given = SETS.iter().map(|sizes| Classes::new(sizes).unwrap());
        for classes in given.chain([Classes::standard()]) {
            for length in (0..=classes.largest).step_by(step) {
                assert_smallest(&classes, length);
            }
            let last = classes.all().len() - 1;
            assert_eq!(classes.class_for(classes.largest), Some(last));
            assert_eq!(classes.class_for(classes.largest + 1), None);
            assert_eq!(classes.class_for(usize::MAX), None);
        }
    }

    #[test]
    fn no_length_above_64_bytes_wastes_more_than_a_quarter() {
        for pair in Classes::standard().all().windows(2) {
            assert!(pair[1].size - pair[0].size - 1 <= pair[0].size / 4);
        }
    }

    #[test]
    fn the_powers_of_two_are_among_the_standard_classes() {
        let classes = Classes::standard();
        for power in SMALLEST.ilog2()..=LARGEST.ilog2() {
            let class = classes.class_for(1 << power).unwrap();
            assert_eq!(classes.get(class).size, 1 << power);
        }
    }

    #[test]
    fn the_slots_of_a_span_fit_and_waste_at_most_a_sixteenth() {
        for class in Classes::standard().all() {
            let bytes = class.units * UNIT;
            assert!((1..=MOST_SLOTS).contains(&class.slots));
            assert!(class.slots * class.size <= bytes);
            assert!((bytes - class.slots * class.size) * 16 <= bytes);
            assert!(class.units <= 16 && class.size.is_multiple_of(SIZE_STEP));
            assert!((2..=MOST_IN_MAGAZINE).contains(&class.most_in_magazine));
        }
    }

    #[test]
    fn a_slot_begins_where_it_should_and_nowhere_else() {
        let step = if cfg!(miri) { 1021 } else { 1 };
        let given = SETS.iter().map(|sizes| Classes::new(sizes).unwrap());
        for classes in given.chain([Classes::standard()]) {
            for class in classes.all() {
                for offset in (0..class.units * UNIT).step_by(step) {
                    let begins = offset % class.size == 0 && offset / class.size < class.slots;
                    let expected = begins.then_some(offset / class.size);
                    assert_eq!(class.slot_at(offset), expected, "{class:?} {offset}");
                }
            }
        }
    }

    #[test]
    fn sizes_that_cannot_be_classes_are_refused() {
        let many: Vec<usize> = (0..=MOST_CLASSES).map(|n| 64 + 16 * n).collect();
        let wrong: [&[usize]; 8] = [
            &[],
            &many,
            &[0],
            &[48],
            &[100],
            &[LARGEST + 16],
            &[128, 128],
            &[256, 128],
        ];
        for sizes in wrong {
            let error = Classes::new(sizes).map(|_| ()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{sizes:?}");
        }
        assert!(Classes::new(&many[1..]).is_ok());
    }
}
